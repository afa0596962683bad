"""A file that stays as it is is parsed once, whatever asks for it; and only columns that are asked for are read."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlops_mcp.tools.data import reads, store
from mlops_mcp.tools.data.description import describe_dataset
from mlops_mcp.tools.data.models import ReadOptions
from mlops_mcp.tools.data.readers import read_table
from mlops_mcp.tools.data.store import file_of, load_file, resolve, save
from mlops_mcp.tools.handles import parse
from mlops_mcp.tools.lineage import Lineage
from mlops_mcp.tools.runtime.work import Work


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that was written long ago, as far as the code can tell."""
    path = tmp_path / "loans.csv"
    path.write_text("zip,x\n01234,1\n98101,2\n")
    later = time.time() + 3600
    monkeypatch.setattr("mlops_mcp.tools.data.reads.time.time", lambda: later)
    return path


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that are parsed from now on."""
    seen, read = list[Path](), read_table

    def noted(path: Path, options: ReadOptions, max_mb: int) -> tuple[pa.Table, list[str]]:
        seen.append(path)
        return read(path, options, max_mb)

    monkeypatch.setattr(store, "read_table", noted)
    return seen


def test_a_path_given_twice_is_parsed_once_and_answers_alike(work: Work, file: Path, parsed: list[Path]) -> None:
    first, again, on_the_way = load_file(work, str(file), ""), load_file(work, str(file), ""), resolve(work, str(file))
    assert parsed == [file]
    assert again.info == on_the_way.info == first.info.model_copy(update={"undo": None})
    assert (first.new, again.new, on_the_way.new) == (True, False, False)
    assert again.table() == first.table()


def test_what_was_loaded_on_the_way_is_kept_when_it_is_loaded_on_purpose(work: Work, file: Path) -> None:
    handle = resolve(work, str(file)).handle
    load_file(work, str(file), "")
    assert {edge.by for edge in Lineage(work.home).ancestors(handle)} == {"load_dataset"}


Change = Callable[[Path], None]


def changed(file: Path) -> None:
    file.write_text("zip,x\n01234,1\n98101,3\n")


def changed_with_its_old_time(file: Path) -> None:
    found = file.stat()
    changed(file)
    os.utime(file, ns=(found.st_atime_ns, found.st_mtime_ns))


def replaced_by_another(file: Path) -> None:
    changed(beside := file.with_name("new.csv"))
    beside.rename(file)


@pytest.mark.parametrize("change", [changed, changed_with_its_old_time, replaced_by_another])
def test_a_changed_file_is_parsed_again(work: Work, file: Path, parsed: list[Path], change: Change) -> None:
    before = load_file(work, str(file), "")
    change(file)
    assert load_file(work, str(file), "").handle != before.handle
    assert len(parsed) == 2


def test_another_name_or_way_to_read_is_another_reading(work: Work, file: Path, parsed: list[Path]) -> None:
    asked = [("", ReadOptions()), ("other", ReadOptions()), ("", ReadOptions(header=False)), ("", ReadOptions())]
    made = [load_file(work, str(file), name, options).handle for name, options in asked]
    assert len(parsed) == 3
    assert (made[0], len(set(made))) == (made[3], 3)


def test_a_file_whose_dataset_is_gone_is_parsed_again(work: Work, file: Path, parsed: list[Path]) -> None:
    first = load_file(work, str(file), "")
    file_of(work, parse(first.handle, "dataset").version).unlink()
    assert load_file(work, str(file), "").table().num_rows == 2
    assert len(parsed) == 2


def test_a_file_that_was_just_written_may_still_change_unseen(work: Work, tmp_path: Path, parsed: list[Path]) -> None:
    path = tmp_path / "fresh.csv"
    path.write_text("x\n1\n")
    stamp = path.stat()
    os.utime(path, ns=(stamp.st_atime_ns, time.time_ns() + 10**9))
    for _ in range(2):
        load_file(work, str(path), "")
    assert len(parsed) == 2


def test_only_the_last_readings_are_kept(
    work: Work, file: Path, parsed: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reads, "KEPT", 2)
    for name in ("a", "b", "c"):
        load_file(work, str(file), name)
    assert len(list((work.home / "reads").iterdir())) == 2


def test_a_description_of_named_columns_reads_these_alone(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    table = pa.table({name: list(range(20)) for name in ("a", "b", "c", "d")} | {"y": [0, 1] * 10})
    handle = save(work, table, "rows", [], "test").handle
    whole = describe_dataset(work, handle, [], 20, "", "y")
    asked, read = list[object](), pq.read_table

    def noted(path: Path, columns: list[str] | None = None) -> pa.Table:
        asked.append(columns)
        return read(path, columns=columns)

    monkeypatch.setattr(pq, "read_table", noted)
    alone = describe_dataset(work, handle, ["b"], 20, "")
    assert alone.columns == [
        next(each for each in describe_dataset(work, handle, [], 20, "").columns if each.name == "b")
    ]
    assert alone.duplicate_rows is None
    assert "only these columns were read" in " ".join(alone.notes)
    told = describe_dataset(work, handle, ["b"], 20, "", "y")
    assert [each for each in whole.columns if each.name in ("b", "y")] == told.columns
    assert asked == [["b"], None, ["b", "y"]]
