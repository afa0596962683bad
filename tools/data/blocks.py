"""A delimited file in blocks of whole records, where it is plain enough for that."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from .delimited import Quoting
from .extents import require_columns
from .layout import Layout, layout_of
from .models import ReadOptions
from .opening import Opened, is_packed

# Bytes that are read at once.
BLOCK = 32 << 20
# The longest record, in blocks.
LONGEST = 4
NEWLINE = b"\n"[0]
# In so many bytes at the end of a block there mostly is a line that is not blank.
ENDING = 64


class UnlikeError(Exception):
    """The file can only be read as a whole."""


def layout_at(name: str, file: BinaryIO, options: ReadOptions, block: int) -> Layout:
    """The layout by the first block, without a body; the file is at the first record.

    Raises:
        UnlikeError: it is packed, no text in UTF-8, or has columns without a name.
        ToolFailure: as of `layout_of`.
    """
    head = _head(name, file, options, block)
    layout = layout_of(name, head, "\t" if Path(name).suffix.lower() in (".tsv", ".tab") else ",", options)
    require_columns(name, len(layout.names))
    if layout.separator == " " or layout.unnamed or not layout.body:
        raise UnlikeError
    file.seek(file.tell() - len(layout.body))
    asked = (f"encoding {options.encoding}",) if options.encoding else ()
    return replace(layout, body=b"", notes=(*asked, *layout.notes))


def _head(name: str, file: BinaryIO, options: ReadOptions, block: int) -> bytes:
    """The first block up to the end of a line; the file is read up to there.

    Raises:
        UnlikeError: it is packed, or no text in UTF-8.
    """
    head = file.read(block)
    start = len(codecs.BOM_UTF8) if head.startswith(codecs.BOM_UTF8) else 0
    head = head[: head.rfind(b"\n") + 1]
    file.seek(len(head))
    found = Opened(name, head[start:])
    if not found.data or is_packed(found.data) or found.format != "delimited" or not _is_utf8(options.encoding):
        raise UnlikeError
    require_text(found.data)
    return found.data


def _is_utf8(encoding: str) -> bool:
    try:
        return not encoding or codecs.lookup(encoding).name == "utf-8"
    except LookupError:  # who reads it all says which there are
        return False


def bodies(file: BinaryIO, layout: Layout, block: int) -> Iterator[bytes]:
    """Pieces of a file that hold whole records, without the blank lines at its end.

    Raises:
        UnlikeError: a record that is far longer than a block, or quotes that do not enclose cells alone.
    """
    quoting = Quoting(layout.separator, layout.quote) if layout.quote else None
    rest = b""
    while data := file.read(block):
        rest += data
        if end := _end_of_records(rest, quoting):
            yield rest[:end]
            rest = rest[end:]
        elif len(rest) > LONGEST * block:
            raise UnlikeError
    if rest.strip(b"\r\n"):
        if quoting and quoting.broken(rest) is not None:
            raise UnlikeError  # who reads it all says which quote is left open, or reads it otherwise
        yield rest.rstrip(b"\r\n") + b"\n"


def _end_of_records(data: bytes, quoting: Quoting | None) -> int:
    """Behind the last line that is not blank and ends outside of quotes."""
    stop = data.rfind(b"\n") + 1
    start = max(stop - ENDING, 0)
    last = start + len(data[start:stop].rstrip(b"\r\n"))
    last = last if last > start else len(data[:stop].rstrip(b"\r\n"))
    end = data.find(b"\n", last) + 1 if last else 0
    if not quoting or quoting.quote not in data:
        return end
    if quoting.has_spaces(data):
        raise UnlikeError
    while end and (broken := quoting.broken(data[:end])) is not None:
        end = data.rfind(b"\n", 0, broken) + 1
    return end


def require_text(data: bytes) -> None:
    """Raises UnlikeError for other text than UTF-8 in lines that end as usual."""
    try:
        plain = data.isascii() or bool(data.decode())
    except UnicodeDecodeError:
        raise UnlikeError from None
    ends = b"\r" not in data or data.count(b"\r") == data.count(b"\r\n")
    if not (plain and ends) or b"\0" in data or data.startswith((b"\n", b"\r")):
        raise UnlikeError


def require_no_blank_lines(body: bytes, rows: int) -> int:
    """How many lines there are; raises UnlikeError for blank ones, which are counted or belong to a cell."""
    import numpy as np

    # Faster than to count in bytes, and without Python's lock.
    lines = int(np.count_nonzero(np.frombuffer(body, dtype=np.uint8) == NEWLINE))
    if lines + (not body.endswith(b"\n")) != rows and (b"\n\n" in body or b"\n\r\n" in body):
        raise UnlikeError
    return lines
