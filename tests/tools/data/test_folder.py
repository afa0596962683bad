"""A folder of Parquet files is one dataset; what its folders are called after are columns."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from mlops_mcp.tools.data import folder
from mlops_mcp.tools.data.store import load_file
from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.tracing.span import Tracer


def write(folder: Path, **files: Mapping[str, Sequence[object]]) -> Path:
    """Files by their path below the folder, where `__` stands for a slash."""
    for name, columns in files.items():
        path = folder / f"{name.replace('__', '/')}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(dict(columns)), path)
    return folder


def test_files_are_read_in_the_order_of_their_names(work: Work, tmp_path: Path) -> None:
    folder = write(tmp_path / "parts", b={"x": [3]}, a={"x": [1, 2]}, c={"x": []})
    stored = load_file(work, str(folder), "")
    assert stored.table().to_pydict() == {"x": [1, 2, 3]}
    assert stored.name == "parts"
    assert stored.info.notes == ["3 Parquet files"]
    assert load_file(work, f"{folder}/", "").handle == stored.handle


def test_partitions_written_by_arrow_come_back(work: Work, tmp_path: Path) -> None:
    table = pa.table({"v": [1, 2, 3, 4], "year": [2023, 2024, 2024, None], "town": ["a b", "ü/x", "ü/x", "a b"]})
    flavour = ds.partitioning(pa.schema([("year", pa.int64()), ("town", pa.string())]), flavor="hive")
    ds.write_dataset(table, tmp_path / "sales", format="parquet", partitioning=flavour)
    found = load_file(work, str(tmp_path / "sales"), "").table()
    assert found.select(["v", "year", "town"]).sort_by("v").to_pydict() == table.to_pydict()


def test_a_partition_keeps_its_zeros(work: Work, tmp_path: Path) -> None:
    folder = write(tmp_path / "f", **{"zip=01234__a": {"x": [1]}, "zip=99999__b": {"x": [2]}})
    stored = load_file(work, str(folder), "")
    assert stored.table().to_pydict() == {"x": [1, 2], "zip": ["01234", "99999"]}
    assert "columns out of the folders' names: zip" in stored.info.notes


def test_columns_that_some_files_lack_are_missing_there_and_it_is_said(work: Work, tmp_path: Path) -> None:
    folder = write(tmp_path / "f", a={"x": [1], "old": ["q"]}, b={"x": [2], "new": [0.5]})
    stored = load_file(work, str(folder), "")
    assert stored.table().to_pydict() == {"x": [1, 2], "old": ["q", None], "new": [None, 0.5]}
    said = "columns that not all files have, missing in their rows: old (1 of 2 files), new (1 of 2 files)"
    assert said in stored.info.notes


def test_files_that_do_not_belong_together_are_refused(work: Work, tmp_path: Path) -> None:
    types = write(tmp_path / "t", a={"x": [1]}, b={"x": ["1"]})
    with pytest.raises(ToolFailure, match=r"b\.parquet .*Field x has incompatible types: int64 vs string.*UNION ALL"):
        load_file(work, str(types), "")
    foreign = write(tmp_path / "n", a={"x": [1]}, b={"y": [1]})
    with pytest.raises(ToolFailure, match=r"b\.parquet has no column of the files before it"):
        load_file(work, str(foreign), "")


def test_what_is_left_out_of_a_folder_is_counted(work: Work, tmp_path: Path) -> None:
    folder = write(tmp_path / "f", a={"x": [1]}, _temporary__b={"x": [2]}, **{".hidden": {"x": [3]}})
    outside = write(tmp_path / "g", secret={"x": [4]})
    (folder / "link.parquet").symlink_to(outside / "secret.parquet")
    (folder / "twice.parquet").symlink_to(folder / "a.parquet")
    (folder / "gone.parquet").symlink_to(folder / "nowhere.parquet")
    (folder / "elsewhere").symlink_to(outside)
    (folder / "note.txt").write_text("no data")
    stored = load_file(work, str(folder), "")
    assert stored.table().to_pydict() == {"x": [1]}
    (note,) = [note for note in stored.info.notes if note.startswith("files left out: ")]
    assert "4 that are links (elsewhere, gone.parquet, link.parquet and 1 more)" in note
    assert "1 that are not .parquet or .pq (note.txt)" in note
    assert "2 whose name, or folder's, begins with . or _ (.hidden.parquet, b.parquet)" in note


def test_a_folder_that_is_too_large_or_holds_no_parquet_is_refused(work: Work, tmp_path: Path) -> None:
    folder = write(tmp_path / "f", a={"x": list(range(300_000))})
    data = work.settings.data.model_copy(update={"max_mb": 1})
    small = Work(work.settings.model_copy(update={"data": data}), Tracer(lambda _span: None))
    with pytest.raises(ToolFailure, match=r"more than 1 MB \(data\.max_mb\)"):
        load_file(small, str(folder), "")
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "a.csv").write_text("x\n1\n")
    with pytest.raises(ToolFailure, match=r"is a folder.*a\.csv"):
        load_file(work, str(tmp_path / "none"), "")


def test_a_damaged_file_is_refused(work: Work, tmp_path: Path) -> None:
    folder = write(tmp_path / "f", a={"x": [1]})
    (folder / "b.parquet").write_bytes(b"PAR1 nothing")
    with pytest.raises(ToolFailure, match="cannot be read"):
        load_file(work, str(folder), "")


@pytest.mark.parametrize("swapped", ["file", "folder", "pipe"])
def test_what_takes_the_place_of_a_file_after_it_was_looked_at_is_not_read(
    work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, swapped: str
) -> None:
    secret = write(tmp_path / "secret", a={"x": [42]})
    parts = write(tmp_path / "parts", inside__a={"x": [1]})
    look = folder._contents  # pyright: ignore[reportPrivateUsage]

    def look_and_swap(path: Path) -> tuple[list[Path], list[str]]:
        found = look(path)
        if swapped == "folder":
            (parts / "inside").rename(tmp_path / "aside")
            (parts / "inside").symlink_to(secret)
        else:
            (parts / "inside" / "a.parquet").unlink()
            if swapped == "file":
                (parts / "inside" / "a.parquet").symlink_to(secret / "a.parquet")
            else:
                os.mkfifo(parts / "inside" / "a.parquet")
        return found

    monkeypatch.setattr(folder, "_contents", look_and_swap)
    with pytest.raises(ToolFailure):
        load_file(work, str(parts), "")
