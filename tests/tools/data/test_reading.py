"""What a text file says is what the dataset says, or it is refused."""

from __future__ import annotations

import uuid
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlops_mcp.tools.data import client
from mlops_mcp.tools.data.store import Dataset, load_file, save
from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.runtime.work import Work


def load(work: Work, folder: Path, content: bytes | str, name: str = "rows.csv") -> Dataset:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return load_file(work, str(path), "")


def test_empty_cells_of_text_are_missing(work: Work, tmp_path: Path) -> None:
    stored = load(work, tmp_path, 'name,x\na,1\n,2\n"",3\n')
    assert stored.table()["name"].to_pylist() == ["a", None, None]


def test_words_that_mean_missing_are_read_so_and_counted(work: Work, tmp_path: Path) -> None:
    stored = load(work, tmp_path, "region,x\nEMEA,1\nNA,2\nNA,3\n")
    assert stored.table()["region"].to_pylist() == ["EMEA", None, None]
    assert "cells like NA or null in text read as missing: region (2)" in stored.info.notes


def test_digits_with_leading_zeros_stay_text(work: Work, tmp_path: Path) -> None:
    stored = load(work, tmp_path, "zip,n,zero\n01234,1,0\n98101,10,0\n,3,0\n")
    assert stored.table().to_pydict() == {"zip": ["01234", "98101", None], "n": [1, 10, 3], "zero": [0, 0, 0]}
    assert "kept as text, since a number would lose digits: zip" in stored.info.notes


def test_more_digits_than_a_number_holds_stay_text(work: Work, tmp_path: Path) -> None:
    stored = load(work, tmp_path, "iban,x\n12345678901234567890,1.5\n12345678901234567891,2\n")
    assert stored.table()["iban"].to_pylist() == ["12345678901234567890", "12345678901234567891"]
    assert stored.table()["x"].to_pylist() == [1.5, 2]


@pytest.mark.parametrize(
    ("content", "name", "delimiter", "columns"),
    [
        ("a,b\n1,2\n", "r.csv", "','", ["a", "b"]),
        ("a;b\n1,5;2\n", "r.csv", "';'", ["a", "b"]),
        ("a\tb\n1\t2\n", "r.csv", "tab", ["a", "b"]),
        ("a|b\n1|2\n", "r.csv", "'|'", ["a", "b"]),
        ("a,b\n1,2\n", "r.tsv", "','", ["a", "b"]),
        ("a\tb, c, d\n1\t2\n", "r.tsv", "tab", ["a", "b, c, d"]),
        ('"x, y, z";b\n1;2\n', "r.csv", "';'", ["x, y, z", "b"]),
        ('a;"a ""b"", c, d"\n1;2\n', "r.csv", "';'", ["a", 'a "b", c, d']),
        ('"two\nlines, three";b\n1;2\n', "r.csv", "';'", ["two\nlines, three", "b"]),
        ("id,usd|eur|gbp\n1,2\n", "r.csv", "','", ["id", "usd|eur|gbp"]),
        ("\n\na;b\n1;2\n", "r.csv", "';'", ["a", "b"]),
        ("\ufeff\"a\";b\n1;2\n", "r.csv", "';'", ["a", "b"]),
        ("a;b\n", "r.csv", "';'", ["a", "b"]),
        ("alone\n1\n", "r.csv", "','", ["alone"]),
    ],
)  # fmt: skip
def test_the_delimiter_is_read_from_the_header_and_said(
    work: Work, tmp_path: Path, content: str, name: str, delimiter: str, columns: list[str]
) -> None:
    stored = load(work, tmp_path, content, name)
    assert stored.info.columns == columns
    assert stored.info.notes[0] == f"delimiter {delimiter}, types inferred from text"


def test_a_column_may_change_its_type_late_in_a_large_file(work: Work, tmp_path: Path) -> None:
    stored = load(work, tmp_path, "x,y\n" + "1,2\n" * 400_000 + "one,\n")
    assert stored.table()["x"].to_pylist()[-2:] == ["1", "one"]
    assert stored.table()["y"].to_pylist()[-2:] == [2, None]


def test_quoted_cells_may_hold_line_breaks(work: Work, tmp_path: Path) -> None:
    stored = load(work, tmp_path, "x,y\n" + '1,"two\nlines"\n' * 200_000)
    assert (stored.info.rows, set(stored.table()["y"].to_pylist())) == (200_000, {"two\nlines"})


def test_binary_text_becomes_text_and_other_bytes_are_left_out(work: Work, tmp_path: Path) -> None:
    fixed = pa.array([b"ab", b"cd"], pa.binary(2))
    ids = pa.ExtensionArray.from_storage(pa.uuid(), pa.array([uuid.UUID(int=2**127).bytes] * 2, pa.binary(16)))
    table = pa.table({"text": [b"caf\xc3\xa9", None], "fixed": fixed, "raw": [b"\xff", b"a"], "id": ids, "x": [1, 2]})
    stored = save(work, table, "t", [], "test")
    assert stored.table().to_pydict() == {"text": ["café", None], "fixed": ["ab", "cd"], "x": [1, 2]}
    assert "left out, since binary: raw, id" in stored.info.notes


def test_a_file_of_nothing_but_bytes_is_refused(work: Work, tmp_path: Path) -> None:
    pq.write_table(pa.table({"raw": [b"\xff"]}), tmp_path / "raw.parquet")
    with pytest.raises(ToolFailure, match="all columns are binary"):
        load_file(work, str(tmp_path / "raw.parquet"), "")


def test_notes_on_many_columns_stay_short(work: Work) -> None:
    days = pa.array([datetime(2024, 1, 1)], pa.date32())
    stored = save(work, pa.table({f"day_{number}": days for number in range(300)}), "t", [], "test")
    assert [note.partition(" and 290 more")[2] for note in stored.info.notes] == [
        ": date32[day] stored as timestamp[us]"
    ]


def test_what_cannot_be_stored_is_refused_and_leaves_no_draft(work: Work) -> None:
    union = pa.UnionArray.from_sparse(pa.array([0, 1], pa.int8()), [pa.array([1, 2]), pa.array(["a", "b"])])
    with pytest.raises(ToolFailure, match="cannot be stored"):
        save(work, pa.table({"u": union}), "t", [], "test")
    assert list((work.home / "datasets").iterdir()) == []
    assert client.list_datasets(work, 10, "").items == []
