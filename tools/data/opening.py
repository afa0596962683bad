"""Open a file by what it begins with: what its name promises is often something else, or compressed."""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path, PurePath
from typing import IO, Literal, cast

from ..errors import ToolFailure, unknown
from ..user_files import content_of
from .bounds import named
from .models import ReadOptions

Format = Literal["parquet", "feather", "stream", "workbook", "json", "delimited"]
# An archive that holds itself would never end.
DEEPEST = 4
# What binary files begin with: more than a word that may name the first column of a text.
MAGIC: dict[bytes, Format] = {
    b"PAR1\x15": "parquet",
    b"ARROW1\0\0": "feather",
    b"FEA1\0\0\0\0": "feather",
    b"\xff\xff\xff\xff": "stream",
    b"\xd0\xcf\x11\xe0": "workbook",
    b"PK\x03\x04": "workbook",
}
ZIPS = (b"PK\x03\x04", b"PK\x05\x06")
TEXTS: dict[str, Format] = {
    **dict.fromkeys((".csv", ".tsv", ".tab", ".psv", ".txt", ".dat", ".data"), "delimited"),
    **dict.fromkeys((".json", ".jsonl", ".ndjson"), "json"),
}
DOCUMENTS = (b'{"', b"[{", b"[[")
# Two printed lines with separators, in a file whose name promises nothing.
TABULAR = re.compile(rb"[^\x00-\x08\n]*[,;\t|][^\x00-\x08\n]*\n[^\x00-\x08\n]*[,;\t|]")
BINARY = (".parquet", ".pq", ".feather", ".arrow", ".xlsx", ".xls", ".xlsb", ".ods")
PACKED = (".gz", ".bz2", ".xz", ".zst", ".zip")
# The parts by which a zip is known as a workbook: those of Excel, and that of LibreOffice.
WORKBOOKS = ("xl/workbook.xml", "xl/workbook.bin", "content.xml")


@dataclass(frozen=True)
class Opened:
    """The bytes of one file, its own name (that in the archive, if it came in one), and how it was unpacked."""

    name: str
    data: bytes
    notes: tuple[str, ...] = ()

    @property
    def suffix(self) -> str:
        return PurePath(self.name).suffix.lower()

    @property
    def format(self) -> Format:
        """Found in the first bytes; for text in the name.

        Raises:
            ToolFailure: neither says what the file is.
        """
        if not self.data:
            raise ToolFailure(f"{self.name} is empty", "Pass another file.")
        for magic, kind in MAGIC.items():
            if self.data.startswith(magic):
                return kind
        if self.data.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(DOCUMENTS):
            return "json"
        if self.suffix not in TEXTS and not TABULAR.match(self.data):
            known = ", ".join((*TEXTS, *BINARY, *PACKED))
            raise ToolFailure(f"{self.name} has no format that can be read", f"Readable: {known}.")
        return "json" if TEXTS.get(self.suffix) == "json" else "delimited"


def opened(path: Path, options: ReadOptions, max_mb: int) -> Opened:
    """The file, unpacked as often as it was packed.

    Raises:
        ToolFailure: a damaged archive, one that unpacks to more than so many megabytes or holds archives in archives,
            or one of several files without the name of one.
    """
    file = Opened(path.name, content_of(path))
    for _ in range(DEEPEST):
        if (unpacked := _unpacked(file, options, max_mb)) is None:
            return file
        file = unpacked
    raise ToolFailure(f"{path.name} holds archives in archives", "Pass the file itself.")


def _unpacked(file: Opened, options: ReadOptions, max_mb: int) -> Opened | None:
    """What a packed file holds; None where it is not packed."""
    if file.data.startswith(ZIPS):
        return _member(file, options, max_mb)
    codec = next((codec for magic, codec in _streams().items() if file.data.startswith(magic)), None)
    if codec is None:
        return None
    try:
        with codec(BytesIO(file.data)) as stream:
            data = _bounded(file.name, stream, max_mb)
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise ToolFailure(f"{file.name} is compressed and damaged: {error}", "Pass a whole file.") from error
    inner = file.name if file.suffix not in PACKED else PurePath(file.name).stem
    return Opened(inner, data, (*file.notes, f"unpacked from {file.name}"))


def is_packed(data: bytes) -> bool:
    """Whether a file that begins so is an archive or compressed."""
    return data.startswith((*ZIPS, *_streams()))


def _streams() -> dict[bytes, Callable[[IO[bytes]], IO[bytes]]]:
    return {
        b"\x1f\x8b": _gzip,
        **{b"BZh%d1AY&SY" % level: bz2.BZ2File for level in range(1, 10)},
        b"\xfd7zXZ\x00": lzma.LZMAFile,
        b"\x28\xb5\x2f\xfd": _zstd,
    }


def _gzip(packed: IO[bytes]) -> IO[bytes]:
    return cast("IO[bytes]", gzip.GzipFile(fileobj=packed))


def _zstd(packed: IO[bytes]) -> IO[bytes]:
    import pyarrow as pa

    stream: IO[bytes] = pa.CompressedInputStream(pa.PythonFile(packed, mode="r"), "zstd")
    return stream


def _bounded(name: str, stream: IO[bytes], max_mb: int) -> bytes:
    """All that a stream holds, up to a bound: a small archive may hold more than the machine."""
    blocks, size = list[bytes](), 0
    while block := stream.read(1 << 20):
        blocks.append(block)
        size += len(block)
        if size > max_mb << 20:
            raise _too_large(name, max_mb)
    return b"".join(blocks)


def _too_large(name: str, max_mb: int) -> ToolFailure:
    return ToolFailure(f"{name} unpacks to more than {max_mb} MB (data.max_mb)", "Pass it in parts, or as Parquet.")


def _member(file: Opened, options: ReadOptions, max_mb: int) -> Opened | None:
    """The file in a zip, the chosen one of several; None for a workbook, which is a zip as well."""
    try:
        with zipfile.ZipFile(BytesIO(file.data)) as archive:
            names = [name for name in archive.namelist() if _is_data(name)]
            if any(name in WORKBOOKS for name in names):
                # Its reader takes what is in it as it is.
                if sum(part.file_size for part in archive.infolist()) > max_mb << 20:
                    raise _too_large(file.name, max_mb)
                return None
            chosen = _chosen(file.name, names, options.sheet)
            with archive.open(chosen) as stream:
                data = _bounded(file.name, stream, max_mb)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise ToolFailure(
            f"{file.name} begins like a zip or workbook, but is damaged: {error}", "Pass a whole file."
        ) from error
    except (RuntimeError, NotImplementedError) as error:
        raise ToolFailure(f"{file.name} cannot be unpacked: {error}", "Pass it without a password.") from error
    return replace(file, name=PurePath(chosen).name, data=data, notes=(*file.notes, f"{chosen} of {file.name}"))


def _is_data(name: str) -> bool:
    parts = PurePath(name).parts
    return not name.endswith("/") and "__MACOSX" not in parts and not parts[-1].startswith(".")


def _chosen(name: str, members: list[str], wanted: str) -> str:
    if wanted in members:
        return wanted
    if wanted and len(members) != 1:
        raise unknown(f"file of {name}", wanted, members)
    if len(members) != 1:
        raise ToolFailure(
            f"{name} holds {len(members)} files", f"Pass options={{'sheet': one of them}}: {named(members)}."
        )
    return members[0]
