from pathlib import Path

import pandas as pd
import pytest

from mlops_mcp.tools.data import client
from mlops_mcp.tools.data.description import describe_dataset
from mlops_mcp.tools.data.split import Strategy
from mlops_mcp.tools.data.store import load_file, resolve
from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.lineage import Lineage
from mlops_mcp.tools.runtime.work import Work


def _csv(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_the_same_content_has_the_same_handle_and_other_content_another(work: Work, tmp_path: Path) -> None:
    first = client.load_dataset(work, _csv(tmp_path, "a.csv", "x,y\n1,2\n"), "t").dataset
    again = client.load_dataset(work, _csv(tmp_path, "b.csv", "x,y\n1,2\n"), "t").dataset
    other = client.load_dataset(work, _csv(tmp_path, "c.csv", "x,y\n1,3\n"), "t").dataset
    assert first == again
    assert first != other


def test_a_bare_name_with_two_versions_names_both(work: Work, tmp_path: Path) -> None:
    handles = [client.load_dataset(work, _csv(tmp_path, "a.csv", f"x\n{n}\n"), "t").dataset for n in (1, 2)]
    with pytest.raises(ToolFailure) as caught:
        resolve(work, "t")
    assert all(handle in str(caught.value) for handle in handles)


def test_a_path_is_loaded_on_the_way(work: Work, tmp_path: Path) -> None:
    path = _csv(tmp_path, "people.csv", "age\n30\n40\n")
    assert resolve(work, path).handle.startswith("dataset:people@")
    assert resolve(work, "people").info.rows == 2


@pytest.mark.parametrize("path", ["/etc/passwd", "../../../../etc/passwd", "file:/etc/hostname", "~root/x.csv"])
def test_files_outside_the_roots_are_refused(work: Work, path: str) -> None:
    with pytest.raises(ToolFailure, match="outside the readable folders"):
        load_file(work, path, "")


def test_a_symlink_out_of_a_root_is_refused(work: Work, tmp_path: Path) -> None:
    link = tmp_path / "innocent.csv"
    link.symlink_to("/etc/passwd")
    with pytest.raises(ToolFailure, match="outside the readable folders"):
        load_file(work, str(link), "")


def test_a_missing_file_names_its_neighbours(work: Work, tmp_path: Path) -> None:
    _csv(tmp_path, "loans.csv", "x\n1\n")
    with pytest.raises(ToolFailure, match="loans"):
        load_file(work, str(tmp_path / "loan.csv"), "")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.bin", b"x", "no format"),
        ("a.parquet", b"not parquet", "no format"),
        ("a.parquet", b"PAR1\x15\x04 and then nothing of it", "cannot be read"),
        ("a.csv", b"", "is empty"),
        ("a.csv", b"\xef\xbb\xbf\n\n", "no lines"),
        ("a.csv", b"x,y\n1,2,3\n", "line 2 has 3"),
    ],
)
def test_files_that_cannot_be_used_are_refused(
    work: Work, tmp_path: Path, name: str, content: bytes, says: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ToolFailure, match=says):
        load_file(work, str(tmp_path / name), "")


def test_types_that_libraries_misread_are_made_plain_and_said(work: Work, tmp_path: Path) -> None:
    import decimal

    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table(
        {
            "category": pa.array(["a", "b"]).dictionary_encode(),
            "large": pa.array(["a", "b"], pa.large_string()),
            "money": pa.array([decimal.Decimal("1.50"), None]),
            "day": pa.array([18000, 18001], pa.date32()),
            "local": pa.array([0, 1], pa.timestamp("ns", "Europe/Berlin")),
        }
    )
    pq.write_table(table, tmp_path / "odd.parquet")
    stored = load_file(work, str(tmp_path / "odd.parquet"), "")
    kinds = [str(kind) for kind in stored.table().schema.types]
    assert kinds == ["string", "string", "double", "timestamp[us]", "timestamp[us, tz=UTC]"]
    assert [note.partition(":")[0] for note in stored.info.notes] == ["money", "day", "local"]


def test_a_time_split_puts_no_moment_on_both_sides(work: Work, tmp_path: Path) -> None:
    times = pd.to_datetime(["2024-01-01"] * 5 + ["2024-01-02"] * 5 + ["2024-01-03"] * 10)
    pd.DataFrame({"t": times, "x": range(20)}).sample(frac=1, random_state=0).to_parquet(tmp_path / "t.parquet")
    split = client.split_dataset(work, str(tmp_path / "t.parquet"), "time", "t", 0.3, 0.4, 0)
    parts = [resolve(work, part.dataset).frame()["t"] for part in (split.train, split.test)]
    assert parts[0].max() < parts[1].min()
    assert sum(part.rows for part in (split.train, split.validation, split.test) if part) == 20


def test_a_stratified_split_keeps_the_rate_and_every_row_once(work: Work, tmp_path: Path) -> None:
    frame = pd.DataFrame({"y": [0, 0, 0, 1] * 100, "row": range(400)})
    frame.to_parquet(tmp_path / "s.parquet")
    split = client.split_dataset(work, str(tmp_path / "s.parquet"), "stratified", "y", 0.2, 0.2, 1)
    parts = [part for part in (split.train, split.validation, split.test) if part]
    assert [part.positive_rate for part in parts] == [0.25, 0.25, 0.25]
    rows = sorted(row for part in parts for row in resolve(work, part.dataset).frame()["row"])
    assert rows == list(range(400))


@pytest.mark.parametrize(
    ("strategy", "column", "validation", "test", "says"),
    [
        ("time", "", 0.1, 0.1, "needs the time column"),
        ("random", "", 0.5, 0.5, "nothing to train on"),
        ("time", "tt", 0.1, 0.1, "Did you mean t"),
    ],
)
def test_splits_that_make_no_sense_are_refused(
    work: Work, tmp_path: Path, strategy: Strategy, column: str, validation: float, test: float, says: str
) -> None:
    pd.DataFrame({"t": pd.date_range("2024-01-01", periods=10), "x": range(10)}).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(ToolFailure, match=says):
        client.split_dataset(work, str(tmp_path / "t.parquet"), strategy, column, validation, test, 0)


def test_one_moment_cannot_be_split_by_time(work: Work, tmp_path: Path) -> None:
    pd.DataFrame({"t": [pd.Timestamp("2024-01-01")] * 10}).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(ToolFailure, match="leaves no rows for"):
        client.split_dataset(work, str(tmp_path / "t.parquet"), "time", "t", 0.1, 0.1, 0)


def test_a_profile_says_what_an_analyst_would_look_at(work: Work, tmp_path: Path) -> None:
    frame = pd.DataFrame({"id": range(6), "x": [1.0, None, 3.0, float("inf"), 1.0, 1.0], "c": ["a"] * 6})
    frame = pd.concat([frame, frame.tail(1)])
    frame.to_parquet(tmp_path / "p.parquet")
    profile = describe_dataset(work, str(tmp_path / "p.parquet"), [], 20, "")
    assert profile.duplicate_rows == 1
    assert profile.constant_columns == ["c"]
    assert profile.columns[1].missing == 1
    assert profile.columns[1].max is None


def test_lineage_leads_from_a_part_back_to_its_file(work: Work, tmp_path: Path) -> None:
    path = _csv(tmp_path, "rows.csv", "x\n" + "\n".join(map(str, range(50))))
    split = client.split_dataset(work, path, "random", "", 0.2, 0.2, 0)
    parents = [edge.parent for edge in Lineage(work.home).ancestors(split.test.dataset)]
    assert parents[-1] == f"file:{path}"
