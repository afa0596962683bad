"""A file that is read in blocks is the dataset that it would be if it were read at once."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlops_mcp.tools.data import blocks, columnar, large, pieces
from mlops_mcp.tools.data.cells import Convention, read_column
from mlops_mcp.tools.data.models import ReadOptions
from mlops_mcp.tools.data.plain import MISSING
from mlops_mcp.tools.data.store import load_file
from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.runtime.work import Work

BLOCK = 64


def _rows(*cells: str) -> str:
    return "".join(f"{place},{cells[place % len(cells)]}\n" for place in range(60))


ALIKE = {
    "numbers": "id,v\n" + _rows("1.5", "", "-2", "8e-05"),
    "digits that are no number": "id,v\n" + _rows("007", "12"),
    "times": "id,v\n" + _rows("2024-01-02", "2024-03-01"),
    "times of the day": "id,v\n" + _rows("12:30:00", "23:59:59"),
    "dates of one order, told late": "id,v\n" + _rows(*["01/02/2024"] * 50, "13/02/2024"),
    "decimal commas": "id;v\n" + "".join(f"{place};{('1,5', '2.000,25')[place % 2]}\n" for place in range(60)),
    "an odd cell in the last block": "id,v\n" + _rows("1") + "60,unknown\n",
    "text": "id,v\n" + _rows("Zürich", "NA", " Bern ", "x"),
    "quoted lines": "id,v\n" + _rows('"one\ntwo ""three"", four"', "plain"),
    "nothing but missing cells": "id,v\n" + _rows(""),
    "two bytes at the end of a line": ("id,v\n" + _rows("a", "b")).replace("\n", "\r\n"),
    "a mark of UTF-8, blank lines at the end": "\ufeffid,v\n" + _rows("a") + "\n\n\n",
    "no end of the last line": ("id,v\n" + _rows("a")).rstrip("\n"),
    "epochs": "id,created_at\n" + _rows("1700000000", "1700000001"),
}


@pytest.fixture
def in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large, "LARGE", 1)
    monkeypatch.setattr(blocks, "BLOCK", BLOCK)


@pytest.mark.parametrize("text", ALIKE.values(), ids=ALIKE)
def test_what_is_read_in_blocks_is_what_is_read_at_once(
    work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(text.encode())
    whole = load_file(work, str(path), "whole")
    monkeypatch.setattr(large, "LARGE", 1)
    monkeypatch.setattr(blocks, "BLOCK", BLOCK)
    monkeypatch.setattr("mlops_mcp.tools.data.store.read_table", None)
    parts = load_file(work, str(path), "parts")
    assert parts.path == whole.path
    assert parts.info.notes == whole.info.notes
    assert parts.info.rows == whole.info.rows == 60 + text.count("unknown")
    assert not list((work.home / "queries").iterdir())


@pytest.mark.usefixtures("in_blocks")
def test_a_row_with_too_many_cells_is_refused_in_whichever_block_it_is(work: Work, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("id,v\n" + _rows("1") + "60,1,2\n")
    with pytest.raises(ToolFailure, match="the header has 2 cells, but line 62 has 3"):
        load_file(work, str(path), "")
    assert not list((work.home / "queries").iterdir())


UNLIKE: dict[str, tuple[bytes, ReadOptions]] = {
    "another encoding": (("id,v\n" + _rows("Zürich")).encode("cp1252"), ReadOptions()),
    "zero bytes": (("id,v\n" + _rows("a\0b")).encode(), ReadOptions()),
    "spaces as separators": (("id v\n" + _rows("1.5")).replace(",", "  ").encode(), ReadOptions()),
    "blank lines": (("id,v\n" + _rows("1") + "\n60,2\n").encode(), ReadOptions()),
    "backslashes before quotes": (("id,v\n" + _rows(r'"a \" b"')).encode(), ReadOptions()),
    "the encoding that is asked for": (("id,v\n" + _rows("a")).encode(), ReadOptions(encoding="utf8")),
    "rows that are padded": (("id,v\n" + _rows("1") + "60\n").encode(), ReadOptions(bad_rows="pad")),
}


@pytest.mark.parametrize(("content", "options"), UNLIKE.values(), ids=UNLIKE)
def test_what_is_not_plain_enough_for_blocks_is_read_at_once(
    work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, options: ReadOptions
) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(content)
    whole = load_file(work, str(path), "whole", options)
    monkeypatch.setattr(large, "LARGE", 1)
    monkeypatch.setattr(blocks, "BLOCK", BLOCK)
    again = load_file(work, str(path), "again", options)
    assert (again.path, again.info.notes) == (whole.path, whole.info.notes)


@pytest.mark.usefixtures("in_blocks")
def test_an_open_quote_is_told_by_its_line(work: Work, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("id,v\n" + _rows("1") + '60,"open\n' + _rows("2"))
    with pytest.raises(ToolFailure, match="the quote in line 62 is not closed"):
        load_file(work, str(path), "")


def _odd(rows: int) -> pa.Table:
    """Columns of which most are stored as another type, and one as none; text that is numbers in all but one cell."""
    numbers = np.arange(rows)
    seconds = pa.array(numbers * 1_000_000_000, pa.timestamp("ns"))
    return pa.table(
        {
            "id ": numbers,
            "fine": pa.array([*range(rows - 1), 10**12 + 7], pa.int64()).cast(pa.timestamp("ns")),
            "at": seconds,
            "day": pa.array(numbers.astype("int32"), pa.date32()),
            "huge": pa.array([Decimal(10) ** (30 if place == rows - 1 else 3) for place in range(rows)]),
            "city": pa.array([("Basel", "Zürich", None)[place % 3] for place in range(rows)]).dictionary_encode(),
            "text": pa.array([str(place) if place else "n.k." for place in range(rows)]),
            "bytes": pa.array([b"\xff" if place == rows - 1 else b"a" for place in range(rows)]),
            "pair": pa.array([{"a": place} for place in range(rows)]),
        }
    )


def test_a_parquet_file_in_parts_is_the_dataset_that_it_is_as_a_whole(
    work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(_odd(700), path, row_group_size=300)
    for module, name, value in ((pieces, "STEP", 64), (columnar, "STEP", 64), (pieces, "PIECE", 100)):
        monkeypatch.setattr(module, name, value)
    monkeypatch.setattr(pieces, "GROUP", 256)
    whole = load_file(work, str(path), "whole")
    monkeypatch.setattr(large, "LARGE", 1)
    monkeypatch.setattr("mlops_mcp.tools.data.store.read_table", None)
    parts = load_file(work, str(path), "parts")
    assert parts.path == whole.path
    assert parts.info.notes == whole.info.notes
    assert len(parts.info.notes) > 5
    assert pq.ParquetFile(parts.path).num_row_groups == 3


UNLIKE_PARQUET: dict[str, tuple[pa.Table, ReadOptions]] = {
    "no rows": (pa.table({"id": pa.array([], pa.int64())}), ReadOptions()),
    "one name twice": (pa.table([pa.array([1]), pa.array([2])], names=["id", "id"]), ReadOptions()),
    "types that are asked for": (pa.table({"id": ["1", "2"]}), ReadOptions(types={"id": "number"})),
}


@pytest.mark.parametrize(("rows", "options"), UNLIKE_PARQUET.values(), ids=UNLIKE_PARQUET)
def test_a_parquet_file_about_which_more_is_to_say_is_read_at_once(
    work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: pa.Table, options: ReadOptions
) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(rows, path)
    whole = load_file(work, str(path), "whole", options)
    monkeypatch.setattr(large, "LARGE", 1)
    again = load_file(work, str(path), "again", options)
    assert (again.path, again.info.notes) == (whole.path, whole.info.notes)


def test_of_a_column_no_more_than_a_piece_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of text, which is what does not fit; numbers take eight bytes each."""
    path = tmp_path / "text.parquet"
    cells = [f"word{chr(97 + place % 26)}{place}x" for place in range(20_000)]
    pq.write_table(pa.table({"text": cells}), path)
    monkeypatch.setattr(pieces, "PIECE", 500)
    read = read_column(pieces.Stored(path, 0, pa.string(), len(cells)), Convention(), MISSING)
    sizes = [len(piece) for piece in read.pieces]
    assert (max(sizes), sum(sizes), len(read.values)) == (500, 20_000, 0)
    assert [cell for piece in read.pieces for cell in piece.to_pylist()] == cells


def test_groups_are_the_same_however_rows_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "STEP", 10)
    monkeypatch.setattr(pieces, "GROUP", 40)
    monkeypatch.setattr(pieces, "GROUP_BYTES", 700)
    rows = pa.table({"text": ["x" * (50 if place < 30 else 1) for place in range(200)]})
    cuts = [[rows], [rows.slice(start, 7) for start in range(0, 200, 7)], [rows.slice(0, 0), rows]]
    groups = [[len(group) for group in pieces.grouped(parts)] for parts in cuts]
    assert groups == [[20, 40, 40, 40, 40, 20]] * 3
    assert [len(group) for group in pieces.grouped([rows.slice(0, 0)])] == [0]


def test_the_next_rows_are_made_while_these_are_used() -> None:
    made, asked = list[int](), threading.Event()

    def parts() -> Generator[pa.Table]:
        for place in range(3):
            made.append(place)
            if place == 1:
                asked.set()
            yield pa.table({"place": [place]})

    found = pieces.ahead(parts())
    first = next(found)
    assert asked.wait(timeout=60)
    assert [part["place"][0].as_py() for part in (first, *found)] == made == [0, 1, 2]


def test_rows_that_are_no_longer_asked_for_are_not_made() -> None:
    closed = list[str]()

    def parts() -> Generator[pa.Table]:
        try:
            while True:
                yield pa.table({"place": [1]})
        finally:
            closed.append("closed")

    before = threading.active_count()
    with closing(pieces.ahead(parts())) as found:
        next(found)
    assert (closed, threading.active_count()) == (["closed"], before)


def test_what_fails_while_rows_are_made_is_told_to_who_asks_for_them() -> None:
    def parts() -> Generator[pa.Table]:
        yield pa.table({"place": [1]})
        raise ToolFailure("the second part", "Nothing.")

    found = pieces.ahead(parts())
    next(found)
    with pytest.raises(ToolFailure, match="the second part"):
        next(found)
