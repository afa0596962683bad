"""Text of any encoding as UTF-8, or the question which encoding it is."""

from __future__ import annotations

import codecs
import re

from ..errors import ToolFailure
from .opening import Opened

# The longer marks first: that of UTF-32 begins with that of UTF-16.
MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
WESTERN = "cp1252"
# Letters, quotes, dashes and signs of Western text, as single bytes between plain ones. Any other byte above 127, or
# many in a row, means another encoding; pairs as UTF-8 writes them, that it is broken UTF-8.
FOREIGN = re.compile(
    rb"[\x81-\x84\x86-\x90\x98-\x9f\xa2\xa4-\xa6\xa8\xac-\xae\xb3\xb6\xb8\xb9\xd7\xf7]"
    rb"|[\x80-\xff]{3}|[A-Za-z][\xa1\xbf]|\xa3(?![\d ])|[\xc3-\xdf][\x80-\xbf]"
)
OTHERS = ("cp1250", "cp1251", "mac_roman", "cp437", "shift_jis", "gb18030", "euc_kr", "big5")
SAMPLE = 1 << 16


def utf8(file: Opened, wanted: str) -> tuple[bytes, list[str]]:
    """The text as UTF-8 without a byte-order mark, and how it was found if it was not plain UTF-8.

    Raises:
        ToolFailure: an unknown encoding, bytes that it does not know, or text whose encoding cannot be told.
    """
    data, notes = _found(file, wanted)
    if not (zeros := data.count(0)):
        return data, notes
    # They are padding, or what a broken copy leaves; no reader of text keeps them.
    line = data.count(b"\n", 0, data.index(0)) + 1
    return data.replace(b"\0", b""), [*notes, f"{zeros} zero bytes left out, the first in line {line}"]


def _found(file: Opened, wanted: str) -> tuple[bytes, list[str]]:
    if wanted:
        return _decoded(file, file.data, _codec(wanted)), [f"encoding {wanted}"]
    if mark := next((mark for mark in MARKS if file.data.startswith(mark)), None):
        return _marked(file, mark)
    if encoding := _wide(file.data[:SAMPLE]):
        return _decoded(file, file.data, encoding), [f"encoding {encoding}, by its zero bytes"]
    try:
        if not file.data.isascii():
            file.data.decode()
    except UnicodeDecodeError as error:
        return _western(file, error)
    return file.data, []


def _marked(file: Opened, mark: bytes) -> tuple[bytes, list[str]]:
    encoding, rest = MARKS[mark], file.data[len(mark) :]
    said = [f"encoding {encoding}, by its byte-order mark"] if encoding != "utf-8" else []
    return _decoded(file, rest, encoding), said


def _codec(name: str) -> str:
    try:
        info = codecs.lookup(name)
        "".encode(info.name)
    except LookupError:
        raise ToolFailure(f"unknown encoding {name!r}", f"E.g. utf-8, {WESTERN}, {', '.join(OTHERS)}.") from None
    return info.name


def _decoded(file: Opened, data: bytes, encoding: str) -> bytes:
    try:
        return data.decode(encoding).removeprefix("\ufeff").encode()
    except UnicodeError as error:
        raise ToolFailure(f"{file.name} is not {encoding}: {error}", "Pass options={'encoding': another}.") from error


def _wide(head: bytes) -> str:
    """UTF-16 without a mark: every second byte of plain text is zero."""
    half = len(head) // 2
    if half < 2 or head.count(0) < half * 0.6:
        return ""
    return "utf-16-le" if head[1::2].count(0) > head[::2].count(0) else "utf-16-be"


def _western(file: Opened, error: UnicodeDecodeError) -> tuple[bytes, list[str]]:
    data = file.data
    line = data.count(b"\n", 0, error.start) + 1
    if not FOREIGN.search(data):
        text = data.decode(WESTERN)
        word = re.search(r"\S*[^\x00-\x7f]\S*", text)
        seen = word.group()[:40] if word else ""
        said = f"encoding {WESTERN} (it is not UTF-8 in line {line}): it makes {seen!r}; if wrong, pass `encoding`"
        return text.encode(), [said]
    possible = [name for name in (WESTERN, *OTHERS) if _fits(data, name)]
    raise ToolFailure(
        f"{file.name} is not UTF-8: byte {data[error.start]:#04x} in line {line}, and its encoding cannot be told",
        f"Pass options={{'encoding': ...}}; these fit: {', '.join([*possible, 'latin-1'])}.",
    )


def _fits(data: bytes, encoding: str) -> bool:
    try:
        data.decode(encoding)
    except UnicodeError:
        return False
    return True
