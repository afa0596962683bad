"""Files that were made to mislead their readers: none leads to memory, rows or files that are not its own."""

from __future__ import annotations

import os
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlops_mcp.tools.data import extents
from mlops_mcp.tools.data.models import ReadOptions
from mlops_mcp.tools.data.readers import read_table
from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.user_files import content_of

from .test_documents import workbook


def read(path: Path, max_mb: int = 100) -> pa.Table:
    return read_table(path, ReadOptions(), max_mb)[0]


def arrow(table: pa.Table, kind: str) -> bytes:
    """Arrow's own formats, without compression."""
    sink = BytesIO()
    make = pa.ipc.new_file if kind == "file" else pa.ipc.new_stream
    with make(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


@pytest.mark.parametrize("kind", ["file", "stream"])
@pytest.mark.parametrize("end", [9, 1 << 20, (1 << 31) - 1, -1])
def test_offsets_that_lead_out_of_a_text_read_no_other_memory(tmp_path: Path, kind: str, end: int) -> None:
    content = arrow(pa.table({"x": ["AAAA", "BBBB"]}), kind)
    offsets = struct.pack("<3i", 0, 4, 8)
    assert content.count(offsets) == 1
    path = tmp_path / "rows.arrow"
    path.write_bytes(content.replace(offsets, struct.pack("<3i", 0, 4, end)))
    with pytest.raises(ToolFailure, match="cannot be read"):
        read(path)


@pytest.mark.parametrize("kind", ["file", "stream"])
def test_a_category_that_is_not_there_is_none(tmp_path: Path, kind: str) -> None:
    words = pa.DictionaryArray.from_arrays(
        pa.array([0x11, 0x22, 0x11], pa.int8()), pa.array([f"{n}" for n in range(40)])
    )
    content = arrow(pa.table({"x": words}), kind)
    assert content.count(b"\x11\x22\x11") == 1
    path = tmp_path / "rows.arrow"
    path.write_bytes(content.replace(b"\x11\x22\x11", b"\x11\x7f\x11"))
    with pytest.raises(ToolFailure, match="cannot be read"):
        read(path)


class Opens:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("name", ["arrow.py_extension_type", "pandas.period", "pandas.interval"])
def test_a_type_of_its_own_is_not_unpickled(tmp_path: Path, name: str) -> None:
    marks = {"ARROW:extension:name": name, "ARROW:extension:metadata": pickle.dumps(Opens(tmp_path / "owned"))}
    field = pa.field("x", pa.int64(), metadata=marks)
    path = tmp_path / "rows.arrow"
    path.write_bytes(arrow(pa.table([pa.array([1])], schema=pa.schema([field])), "file"))
    with suppress(ToolFailure):
        assert read(path).column("x").cast(pa.int64()).to_pylist() == [1]
    assert not (tmp_path / "owned").exists()


def test_a_few_bytes_that_stand_for_any_number_of_rows_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = pa.chunked_array([pa.Array.from_buffers(pa.null(), 2_000_000_000, [None])] * 3)
    (tmp_path / "nothing.arrow").write_bytes(arrow(pa.table({"x": nothing}), "stream"))
    with pytest.raises(ToolFailure, match="6000000000 rows"):
        read(tmp_path / "nothing.arrow")
    same = pa.array([7] * 100_000)
    pq.write_table(pa.table({"x": same, "y": same}), tmp_path / "same.parquet")
    assert (tmp_path / "same.parquet").stat().st_size < 3_000
    monkeypatch.setattr(extents, "MAX_CELLS", 150_000)
    with pytest.raises(ToolFailure, match="more than 150000 cells"):
        read(tmp_path / "same.parquet")


def smaller(content: bytes, part: str, said: int) -> bytes:
    """A zip that says of one part that it is shorter than it is, with the checksum that the beginning of it has."""
    with zipfile.ZipFile(BytesIO(content)) as archive:
        found, whole = archive.getinfo(part), archive.read(part)
    crc = struct.pack("<I", zlib.crc32(whole[:said]))
    sizes = struct.pack("<II", found.compress_size, found.file_size)
    lie = struct.pack("<II", found.compress_size, said)
    return content.replace(struct.pack("<I", found.CRC) + sizes, crc + lie)


def test_a_workbook_unpacks_to_what_it_says(tmp_path: Path) -> None:
    rows: list[list[object]] = [["word", "number"], *([f"word {number}", number] for number in range(3000))]
    whole = repacked(workbook(data=rows))
    (tmp_path / "true.xlsx").write_bytes(whole)
    (tmp_path / "lies.xlsx").write_bytes(smaller(whole, "xl/worksheets/1.xml", 500))
    assert read(tmp_path / "true.xlsx").num_rows == 3000
    with pytest.raises(ToolFailure):
        read(tmp_path / "lies.xlsx")


def repacked(content: bytes) -> bytes:
    """With the sizes in the heads of the parts, where some writers leave them out."""
    made = BytesIO()
    with zipfile.ZipFile(BytesIO(content)) as old, zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    return made.getvalue()


def swapped(path: Path, change: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    """Change what lies at a path in the moment in which it is opened."""
    usual = os.open

    def opening(name: str, flags: int) -> int:
        path.unlink()
        change()
        return usual(name, flags)

    monkeypatch.setattr("mlops_mcp.tools.user_files.os.open", opening)


@pytest.mark.parametrize("kind", ["a link", "a pipe", "a folder of links"])
def test_a_file_that_is_replaced_between_the_look_and_the_read_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    (tmp_path / "elsewhere").mkdir()
    secret = tmp_path / "elsewhere" / "rows.csv"
    secret.write_text("a secret\n1\n")
    folder = tmp_path / "root"
    folder.mkdir()
    path = folder / "rows.csv"
    path.write_text("x\n1\n")

    def lead_away() -> None:
        folder.rmdir()
        folder.symlink_to(secret.parent)

    changes = {
        "a link": lambda: path.symlink_to(secret),
        "a pipe": lambda: os.mkfifo(path),
        "a folder of links": lead_away,
    }
    assert content_of(path) == b"x\n1\n"
    swapped(path, changes[kind], monkeypatch)
    with pytest.raises((ToolFailure, OSError)):
        content_of(path)
