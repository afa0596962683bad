"""A file that is read in one pass is the dataset that it would be if it were read at once, or is read so."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mlops_mcp.tools.data import cells, guesses, pieces, plain, store, streamed
from mlops_mcp.tools.data.models import ReadOptions
from mlops_mcp.tools.data.store import load_file
from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.runtime.work import Work

ROWS = 300


def _rows(*cells: str, odd: str | None = None) -> str:
    """Rows of such cells in turn, with an odd one near the end."""
    return "id,v\n" + "".join(
        f"{place},{odd if place == ROWS - 5 and odd is not None else cells[place % len(cells)]}\n"
        for place in range(ROWS)
    )


PLAIN = {
    "whole numbers with gaps": _rows("1", "-2", "", odd="NA"),
    "real numbers": _rows("1.5", "", "-2.375", "8e-05", "7"),
    "real numbers with a zero at the end, late": _rows("1.523", "2.5", odd="3.70"),
    "amounts": _rows("12.50", "3.99", "7"),
    "numbers from zero to two decimals": _rows("1.5", "2", "3.25", odd="0.10"),
    "a missing word among numbers, late": _rows("1", "2", odd="n/a"),
    "days": _rows("2024-01-02", "2024-03-01", odd=""),
    "moments": _rows("2024-01-02T10:00:00", "2024-03-01 11:00:00.5"),
    "truths": _rows("true", "False", "", odd="TRUE"),
    "few words, another late": _rows("Zürich", "NA", "Bern", odd="中文"),
    "few words with digits": _rows("a1", "b2", "", odd="c3"),
    "many words": _rows(*(f"w{place}x" for place in range(97)), odd="NULL"),
    "quoted lines": _rows('"one\ntwo ""three"", four"', "plain"),
    "semicolons and words": _rows("a", "b").replace(",", ";"),
    "two bytes at the end of a line": _rows("1", "2").replace("\n", "\r\n"),
    "a mark of UTF-8, blank lines at the end": "\ufeff" + _rows("a") + "\n\n\n",
    "no end of the last line": _rows("a").rstrip("\n"),
    "epochs": _rows("1700000000", "1700000001").replace("id,v", "id,created_at"),
    "nothing": _rows(""),
    "nothing but words for what is missing": _rows("NA", "", "null", odd=" "),
    "hostile words": _rows("<script>", "\x1b[31m", odd="=cmd()"),
}
OTHERWISE = {
    "a fraction among whole numbers": _rows("1", "2", odd="2.5"),
    "a word among numbers": _rows("1.5", "2.25", odd="unknown"),
    "digits that are no number": _rows("1", "2", odd="007"),
    "a number too large": _rows("1", "2", odd="12345678901234567890"),
    "versions, told late": _rows("1.5", "2.5", odd="2.10"),
    "a code": _rows("1.5", "2.5", odd="1E5"),
    "no number that reads as one": _rows("1e5", "2.5", odd="NAN"),
    "a time of another kind": _rows("2024-01-02", "2024-03-01", odd="01.02.2024"),
    "a word that is no truth": _rows("true", "false", odd="yes"),
    "words that are numbers": _rows("1,5", "2,5").replace("id,v\n", "id;v\n").replace("\n1,", "\n1;"),
    "spaces around a word": _rows(*(f"w{place}x" for place in range(97)), odd=" w"),
    "spaces around few words": _rows("a", "b", odd=" a"),
    "nothing but missing cells at first": _rows("").replace(f"{ROWS - 2},", f"{ROWS - 2},5"),
    "points that may group thousands": _rows("1.234", "2.5", odd="3").replace(",", ";"),
    "a blank line": _rows("1") + "\n1,2\n",
    "zero bytes": _rows("a", odd="b\0c"),
    "one carriage return": _rows("a", odd="b\rc"),
    "a quote in the middle": _rows("a", odd='"b"c'),
}
Read = Callable[..., tuple[object, ...]]


@pytest.fixture
def read(work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Read]:
    """Reads a text under a name; the first cells that are looked at are few."""
    for module in (cells, guesses, plain, streamed):
        for name, value in (("PEEK", 10), ("FIRST", 20)):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, value)
    monkeypatch.setattr(streamed, "BLOCK", 512)
    monkeypatch.setattr(streamed, "CHUNK", 128)

    def read(text: str, name: str, least: int, **options: object) -> tuple[object, ...]:
        path = tmp_path / "rows.csv"
        path.write_bytes(text.encode())
        monkeypatch.setattr(streamed, "LEAST", least)
        try:
            made = load_file(work, str(path), name, ReadOptions.model_validate(options))
        except ToolFailure as failure:
            return (str(failure),)
        return made.path, made.info.notes, made.info.columns, made.info.rows

    yield read
    assert not list((work.home / "datasets").glob(".*parquet*"))


@pytest.mark.parametrize("text", PLAIN.values(), ids=PLAIN)
def test_what_is_read_in_one_pass_is_what_is_read_at_once(
    read: Read, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    whole = read(text, "whole", 1 << 30)
    monkeypatch.setattr(store, "read_table", None)
    assert read(text, "parts", 0) == whole


@pytest.mark.parametrize("text", OTHERWISE.values(), ids=OTHERWISE)
def test_what_shows_late_that_it_is_another_thing_is_read_at_once(read: Read, text: str) -> None:
    assert read(text, "parts", 0) == read(text, "whole", 1 << 30)


@pytest.mark.parametrize(
    "options",
    [
        {"types": {"v": "text"}},
        {"null_values": ["1"]},
        {"null_values": []},
        {"decimal": ","},
        {"bad_rows": "pad"},
        {"encoding": "no such"},
        {"encoding": "UTF8"},
        {"header": False},
    ],
    ids=str,
)
@pytest.mark.parametrize("text", [_rows("1", "2", ""), _rows("1") + "7\n"], ids=["plain", "ragged"])
def test_options_count_as_they_do_at_once(read: Read, text: str, options: dict[str, object]) -> None:
    assert read(text, "parts", 0, **options) == read(text, "whole", 1 << 30, **options)


@pytest.mark.parametrize("options", [{}, {"null_values": ["1", "n/a"]}, {"null_values": []}], ids=str)
@pytest.mark.parametrize("text", [_rows("1", "007", "", " x", " "), _rows("NA", odd="n/a")], ids=["codes", "missing"])
def test_text_that_is_asked_for_is_read_in_one_pass(
    read: Read, monkeypatch: pytest.MonkeyPatch, text: str, options: dict[str, object]
) -> None:
    asked = {"types": {"v": "text"}, **options}
    whole = read(text, "whole", 1 << 30, **asked)
    monkeypatch.setattr(store, "read_table", None)
    assert read(text, "parts", 0, **asked) == whole


@pytest.mark.parametrize("types", [{"v": "number"}, {"w": "text"}], ids=str)
def test_other_types_that_are_asked_for_are_read_at_once(read: Read, types: dict[str, object]) -> None:
    text = _rows("1", "2", "")
    assert read(text, "parts", 0, types=types) == read(text, "whole", 1 << 30, types=types)


def test_text_of_too_many_values_is_read_at_once(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    text = _rows(*["a"] * 30, *(f"w{place}" for place in range(99)))
    whole = read(text, "whole", 1 << 30)
    monkeypatch.setattr(guesses, "MOST_WORDS", 20)
    assert read(text, "parts", 0) == whole


@pytest.mark.usefixtures("read")
def test_whoever_reads_no_further_leaves_no_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "STEP", 10)
    monkeypatch.setattr(pieces, "GROUP", 10)
    path = tmp_path / "rows.csv"
    path.write_text(_rows("1"))
    before = threading.active_count()
    with streamed.read_streamed(path, ReadOptions(), lambda *_: None) as found:
        assert found is not None
        assert len(next(found.parts)) == 10
        assert threading.active_count() > before
    assert threading.active_count() == before
