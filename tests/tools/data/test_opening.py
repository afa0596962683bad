"""A file is what it begins with, whatever its name says; packed ones are unpacked, other encodings decoded."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest

from mlops_mcp.tools.data.store import load_file
from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.tracing.span import Tracer

from .conftest import Load

CSV = b"a,b\n1,x\n2,y\n"
ROWS = {"a": [1, 2], "b": ["x", "y"]}


def zipped(*members: tuple[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members:
            archive.writestr(name, content)
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("r.csv.gz", gzip.compress(CSV, mtime=0)),
        ("r.csv.bz2", bz2.compress(CSV)),
        ("r.csv.xz", lzma.compress(CSV)),
        ("r.csv.zst", bytes(pa.compress(CSV, codec="zstd", asbytes=True))),
        ("r.zip", zipped(("r.csv", CSV))),
        ("r.zip", zipped(("r.csv", CSV), ("__MACOSX/._r.csv", b"\0"), (".DS_Store", b"\0"))),
        ("r.zip", zipped(("r.csv.gz", gzip.compress(CSV, mtime=0)))),
        ("r.csv", gzip.compress(CSV, mtime=0)),
        ("r.gz", gzip.compress(CSV, mtime=0)),
        ("r.txt", CSV),
        ("r.export", CSV),
        ("r.json", b'[{"a":1,"b":"x"},{"a":2,"b":"y"}]'),
        ("r.jsonl", b'[{"a":1,"b":"x"},{"a":2,"b":"y"}]'),
        ("r.txt", b'{"a":1,"b":"x"}\n{"a":2,"b":"y"}\n'),
    ],
)
def test_a_file_is_read_by_what_it_holds(load: Load, name: str, content: bytes) -> None:
    assert load(content, name).table().to_pydict() == ROWS


def test_parquet_feather_and_streams_are_known_by_their_first_bytes(work: Work, tmp_path: Path) -> None:
    table = pa.table(ROWS)
    pq.write_table(table, tmp_path / "a.pq")
    feather.write_feather(table, tmp_path / "b.data")
    with pa.ipc.new_stream(str(tmp_path / "c.arrow"), table.schema) as stream:
        stream.write_table(table)
    for name in ("a.pq", "b.data", "c.arrow"):
        assert load_file(work, str(tmp_path / name), "").table().to_pydict() == ROWS


@pytest.mark.parametrize("name", ["PK", "PAR1", "BZh9", "ARROW1", "FEA1"])
def test_a_column_may_be_called_as_a_binary_file_begins(load: Load, name: str) -> None:
    assert load(f"{name},b\n1,x\n2,y\n").table().to_pydict() == {name: [1, 2], "b": ["x", "y"]}


def test_one_of_several_files_is_chosen_by_name(load: Load) -> None:
    both = zipped(("a.csv", b"x\n1\n"), ("b.csv", b"x\n2\n"))
    with pytest.raises(ToolFailure, match=r"2 files.*'sheet'.*a\.csv, b\.csv"):
        load(both, "r.zip")
    with pytest.raises(ToolFailure, match=r"unknown file of r\.zip 'c\.csv'"):
        load(both, "r.zip", sheet="c.csv")
    assert load(both, "r.zip", sheet="b.csv").table().to_pydict() == {"x": [2]}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("r.csv.gz", gzip.compress(CSV * 100, mtime=0)[:30]),
        ("r.zip", b"PK\x03\x04garbage"),
        ("r.xlsx", b"PK\x03\x04"),
        ("r.csv", b"PK\x03\x04garbage"),
    ],
)
def test_damaged_archives_are_refused_as_such(load: Load, name: str, content: bytes) -> None:
    with pytest.raises(ToolFailure, match="damaged"):
        load(content, name)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252", "latin-1"])
def test_encodings_that_can_be_told_are_decoded_and_said(load: Load, encoding: str) -> None:
    stored = load("name,v\nMüller,1\nJosé,2\n".encode(encoding))
    assert stored.table().to_pydict() == {"name": ["Müller", "José"], "v": [1, 2]}
    assert any("encoding" in note for note in stored.info.notes) is (encoding != "utf-8-sig")


@pytest.mark.parametrize(("encoding", "word"), [("cp1250", "Łódź"), ("cp1251", "Москва"), ("shift_jis", "東京")])
def test_encodings_that_cannot_be_told_are_asked_for(load: Load, encoding: str, word: str) -> None:
    content = f"id,city\n1,{word}\n".encode(encoding)
    with pytest.raises(ToolFailure, match=rf"not UTF-8: byte 0x.. in line 2.*'encoding'.*{encoding}"):
        load(content)
    assert load(content, encoding=encoding).table()["city"].to_pylist() == [word]
    with pytest.raises(ToolFailure, match="unknown encoding 'utf9'"):
        load(content, encoding="utf9")


def test_broken_utf8_is_not_taken_for_another_encoding(load: Load) -> None:
    with pytest.raises(ToolFailure, match="byte 0xff in line 3, and its encoding cannot be told"):
        load("name\nMüller\n".encode() + b"\xff\n")


def test_the_line_of_the_first_foreign_byte_is_named_in_a_large_file(load: Load) -> None:
    stored = load(("x,y\n" + "1,2\n" * 400_000).encode() + b"caf\xe9,2\n")
    assert any("not UTF-8 in line 400002" in note and "café" in note for note in stored.info.notes)


def test_zero_bytes_are_left_out_and_counted(load: Load) -> None:
    stored = load(b"a,b\n1,x\n2,y\0\0\n")
    assert stored.table().to_pydict() == ROWS
    assert "2 zero bytes left out, the first in line 3" in stored.info.notes


@pytest.mark.parametrize("pack", ["gz", "bz2", "xz", "zst", "zip", "xlsx"])
def test_what_unpacks_to_more_than_the_setting_is_refused(work: Work, tmp_path: Path, pack: str) -> None:
    bomb = b"a,b\n" + b"0,0\n" * (1 << 19)
    packed = {
        "gz": lambda: gzip.compress(bomb),
        "bz2": lambda: bz2.compress(bomb),
        "xz": lambda: lzma.compress(bomb),
        "zst": lambda: bytes(pa.compress(bomb, codec="zstd", asbytes=True)),
        "zip": lambda: zipped(("r.csv", bomb)),
        "xlsx": lambda: zipped(("xl/workbook.xml", bomb)),
    }
    path = tmp_path / f"r.{pack}"
    path.write_bytes(packed[pack]())
    data = work.settings.data.model_copy(update={"max_mb": 1})
    small = Work(work.settings.model_copy(update={"data": data}), Tracer(lambda _span: None))
    with pytest.raises(ToolFailure, match=r"unpacks to more than 1 MB \(data\.max_mb\)"):
        load_file(small, str(path), "")


def test_archives_in_archives_end(load: Load) -> None:
    nested = CSV
    for _ in range(3):
        nested = zipped(("r.zip", nested))
    assert load(nested, "r.zip").table().to_pydict() == ROWS
    for _ in range(3):
        nested = zipped(("r.zip", nested))
    with pytest.raises(ToolFailure, match="archives in archives"):
        load(nested, "r.zip")


def test_names_in_an_archive_lead_nowhere(load: Load, tmp_path: Path) -> None:
    stored = load(zipped(("../../escaped.csv", CSV)), "r.zip")
    assert stored.table().to_pydict() == ROWS
    assert not list(tmp_path.parent.glob("**/escaped.csv"))
