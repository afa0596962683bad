"""A file that is read in blocks is the dataset that it would be if it were read at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops_mcp.tools.data import large
from mlops_mcp.tools.data.models import ReadOptions
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
def blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large, "LARGE", 1)
    monkeypatch.setattr(large, "BLOCK", BLOCK)


@pytest.mark.parametrize("text", ALIKE.values(), ids=ALIKE)
def test_what_is_read_in_blocks_is_what_is_read_at_once(
    work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(text.encode())
    whole = load_file(work, str(path), "whole")
    monkeypatch.setattr(large, "LARGE", 1)
    monkeypatch.setattr(large, "BLOCK", BLOCK)
    monkeypatch.setattr("mlops_mcp.tools.data.store.read_table", None)
    parts = load_file(work, str(path), "parts")
    assert parts.path == whole.path
    assert parts.info.notes == whole.info.notes
    assert parts.info.rows == whole.info.rows == 60 + text.count("unknown")
    assert not list((work.home / "queries").iterdir())


@pytest.mark.usefixtures("blocks")
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
    monkeypatch.setattr(large, "BLOCK", BLOCK)
    again = load_file(work, str(path), "again", options)
    assert (again.path, again.info.notes) == (whole.path, whole.info.notes)


@pytest.mark.usefixtures("blocks")
def test_an_open_quote_is_told_by_its_line(work: Work, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("id,v\n" + _rows("1") + '60,"open\n' + _rows("2"))
    with pytest.raises(ToolFailure, match="the quote in line 62 is not closed"):
        load_file(work, str(path), "")
