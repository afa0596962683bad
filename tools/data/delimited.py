"""Delimited text into Arrow, without losing what a cell says."""

# Arrow makes its compute functions when it is imported, out of a checker's sight.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import codecs
import re
import shlex
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ToolFailure
from .bounds import named

if TYPE_CHECKING:
    import pyarrow as pa

DELIMITERS = {",": "','", ";": "';'", "\t": "tab", "|": "'|'"}
QUOTED = re.compile(r'(?:^|(?<=[,;\t|]))"(?:[^"]|"")*"', re.MULTILINE)
LEADING_ZERO, TOO_LONG = r"^[+-]?0[0-9]+$", r"^[+-]?[0-9]{17,}$"
BLOCK = 1 << 20


def read_delimited(path: Path, usual: str) -> tuple[pa.Table, list[str]]:
    """The table and notes on how its cells were read; `usual` is the delimiter that the file's name promises."""
    require_utf8(path)
    delimiter = sniff(_head(path), usual)
    table = _read(path, delimiter)
    as_text = _digits_that_numbers_lose(path, delimiter, table)
    for name in as_text.column_names:
        table = table.set_column(table.column_names.index(name), name, as_text.column(name))
    table, markers = _with_empty_cells_missing(table)
    said = {
        "kept as text, since a number would lose digits": as_text.column_names,
        "cells like NA or null in text read as missing": markers,
    }
    notes = [f"{text}: {named(names)}" for text, names in said.items() if names]
    return table, [f"delimiter {DELIMITERS[delimiter]}, types inferred from text", *notes]


def sniff(head: str, usual: str) -> str:
    """The delimiter that occurs in the header and as often in the first row; quoted cells do not count."""
    lines = [line for line in QUOTED.sub("", head).splitlines() if line.strip(" \r")][:2]
    header, row = [*lines, "", ""][:2]
    counts = {mark: header.count(mark) for mark in DELIMITERS if mark in header}
    return max(counts, key=lambda mark: (counts[mark] == row.count(mark), counts[mark], mark == usual), default=usual)


def require_utf8(path: Path) -> None:
    """Arrow takes other encodings for binary data, or passes their bytes on.

    Raises:
        ToolFailure: the text is in another encoding; the hint converts it.
    """
    decoder, line = codecs.getincrementaldecoder("utf-8")(), 1
    for block in _blocks(path):
        try:
            text = decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            line += error.object[: error.start].count(b"\n")
            raise _other_encoding(path, f"byte {error.object[error.start]:#04x} in line {line}") from error
        if "\0" in text:
            raise _other_encoding(path, f"a zero byte after line {line}", "UTF-16")
        line += text.count("\n")


def _blocks(path: Path) -> Iterator[bytes]:
    """The file in pieces, and an empty one at its end."""
    with path.open("rb") as file:
        yield from chain(iter(lambda: file.read(BLOCK), b""), [b""])


def _other_encoding(path: Path, where: str, encoding: str = "WINDOWS-1252") -> ToolFailure:
    with path.open("rb") as file:
        if file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            encoding = "UTF-16"
    source, target = shlex.quote(path.name), shlex.quote(f"{path.stem}_utf8{path.suffix}")
    command = f"iconv -f {encoding} -t UTF-8 {source} > {target}"
    return ToolFailure(
        f"{path.name} is not UTF-8 text: {where}", f"Convert it and load the result; if it is {encoding}: {command}"
    )


def _head(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(BLOCK).decode("utf-8-sig", errors="ignore")


def _read(path: Path, delimiter: str, text: Sequence[str] = ()) -> pa.Table:
    """All columns with inferred types, or only those named, as text."""
    import pyarrow as pa
    import pyarrow.csv as csv

    parse = csv.ParseOptions(delimiter=delimiter, newlines_in_values=True)
    convert = csv.ConvertOptions(include_columns=list(text), column_types=dict.fromkeys(text, pa.string()))
    return csv.read_csv(path, parse_options=parse, convert_options=convert)


def _digits_that_numbers_lose(path: Path, delimiter: str, table: pa.Table) -> pa.Table:
    """The columns of digits that are names rather than numbers, as text: zip codes, long account numbers."""
    import pyarrow as pa
    import pyarrow.compute as pc

    names = table.column_names
    patterns = {
        field.name: LEADING_ZERO if pa.types.is_integer(field.type) else TOO_LONG
        for field in table.schema
        if (pa.types.is_integer(field.type) or pa.types.is_floating(field.type)) and names.count(field.name) == 1
    }
    if not patterns or not table.num_rows:
        return table.select([])
    text = _read(path, delimiter, list(patterns))
    matches = {name: pc.match_substring_regex(text.column(name), pattern) for name, pattern in patterns.items()}
    return text.select([name for name, found in matches.items() if pc.any(found).as_py()])


def _with_empty_cells_missing(table: pa.Table) -> tuple[pa.Table, list[str]]:
    """Text as numbers are read; and the columns that lost more than empty cells, with how many."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.csv as csv

    missing, marked = pa.array(csv.ConvertOptions().null_values), list[str]()
    for index, field in enumerate(table.schema):
        if pa.types.is_string(field.type):
            column = table.column(index)
            gone = pc.is_in(column, value_set=missing)
            table = table.set_column(index, field.name, pc.if_else(gone, pa.scalar(None, pa.string()), column))
            count = pc.sum(pc.and_(gone, pc.not_equal(column, ""))).as_py()
            marked += [f"{field.name} ({count})"] if count else []
    return table, marked
