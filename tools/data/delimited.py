"""Delimited text into Arrow: every cell as it is written, and no row lost."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Literal

from ..errors import ToolFailure
from .bounds import named
from .encoding import utf8
from .extents import require_columns
from .layout import Layout, cells_of, distinct, layout_of
from .models import ReadOptions
from .opening import Opened

if TYPE_CHECKING:
    import pyarrow as pa

# Arrow reads a record from one block; a larger one than usual is tried where a cell is longer.
BLOCKS = (1 << 20, (1 << 31) - 1)
RAGGED_HINT = "Pass options={'bad_rows': 'pad'} or 'drop'; or another separator, quote or skip_rows."


def read_delimited(file: Opened, options: ReadOptions) -> tuple[pa.Table, str, list[str]]:
    """All columns as text, the separator, and notes on what was found.

    Raises:
        ToolFailure: an encoding that cannot be told, lines that can be read in two ways, unbalanced quotes, or rows
            with more or fewer cells than the header.
    """
    data, notes = utf8(file, options.encoding)
    layout = layout_of(file.name, data, "\t" if file.suffix in (".tsv", ".tab") else ",", options)
    require_columns(file.name, len(layout.names))
    layout, escaped = _balanced(file.name, layout)
    table, ragged = _table(file.name, layout, options)
    empty = [name for name in layout.unnamed if name in table.column_names and _is_empty(table, name)]
    table = table.drop_columns(empty) if len(empty) < table.num_columns else table
    kept = [name for name in layout.unnamed if name not in empty]
    said = {
        "columns without a name and without values left out": [str(len(empty))] if empty else [],
        "columns without a name in the file": kept,
    }
    named_so = [f"{text}: {named(names)}" for text, names in said.items() if names]
    blank = _blank_lines(layout, table.num_rows)
    skipped = [f"{blank} blank lines skipped"] if blank else []
    first = f"delimiter {layout.delimiter}, types inferred from text"
    return table, layout.separator, [first, *notes, *layout.notes, *escaped, *named_so, *ragged, *skipped]


def _balanced(name: str, layout: Layout) -> tuple[Layout, list[str]]:
    """The layout with quotes that balance: spaces before them left out, and backslashes read as escapes if need be.

    Raises:
        ToolFailure: a quote that is never closed, or closed in the middle of a cell.
    """
    quote = layout.quote.encode()
    if not quote or quote not in layout.body:
        return layout, []
    quoting = Quoting(layout.separator, layout.quote)
    spaced, count = quoting.without_spaces(layout.body)
    layout, notes = replace(layout, body=spaced), [f"spaces before {count} quotes left out"] if count else []
    broken = quoting.broken(layout.body)
    if broken is None:
        return layout, notes
    escaped = layout.body.replace(b"\\" + quote, quote * 2)
    if escaped != layout.body and quoting.broken(escaped) is None:
        return replace(layout, body=escaped), [*notes, "backslashes before quotes read as escapes"]
    line = layout.first_line + layout.body.count(b"\n", 0, broken)
    text = layout.body[broken : layout.body.find(b"\n", broken) + 1 or None][:60].decode(errors="ignore").strip()
    raise ToolFailure(
        f"{name}: the quote in line {line} is not closed where its cell ends: {text}",
        "Pass options={'quote': 'none'} to read quotes as plain characters, or another quote.",
    )


class Quoting:
    """Where quotes may stand: around a whole cell, doubled inside one, or plain in the middle of an unquoted one."""

    def __init__(self, separator: str, quote: str) -> None:
        self.quote, self._separator = quote.encode(), separator.encode()
        self._quote, mark = re.escape(self.quote), re.escape(self._separator)
        self._start, self._end = rb"(?<![^%s\r\n])" % mark, rb"(?=[%s\r\n]|\Z)" % mark
        self._cell = rb"%s(?:[^%s]++|%s%s)*+%s" % ((self._quote,) * 5)
        self._inside = rb"(?<=[^%s\r\n])%s" % (mark, self._quote)

    def broken(self, body: bytes) -> int | None:
        """Where the first quoted cell begins that does not end before a separator or a line's end."""
        cell = self._start + self._cell + self._end
        whole = re.compile(rb"(?:[^%s]++|%s|%s)*+" % (self._quote, cell, self._inside))
        found = whole.match(body)
        end = found.end() if found else 0
        return end if end < len(body) else None

    def without_cells(self, body: bytes) -> bytes:
        """What is left where each quoted cell is two quotes."""
        return re.sub(self._start + self._cell, b'""', body)

    def has_spaces(self, body: bytes) -> bool:
        """Whether there may be a space before a cell that is quoted."""
        return any(before + b" " + self.quote in body for before in (self._separator, b"\n", b" "))

    def without_spaces(self, body: bytes) -> tuple[bytes, int]:
        """Cells that are quoted but for a space before the quote, without it; and how many."""
        count = 0

        def moved(found: re.Match[bytes]) -> bytes:
            nonlocal count
            count += found.group(1) is not None
            return found.group(1) or found.group()

        cell = self._cell + self._end
        pattern = self._start + rb"(?:%s| +(%s))" % (cell, cell)
        # A look for plain bytes costs nothing beside the pattern, and most files have none of them.
        if not self.has_spaces(body):
            return body, 0
        return re.sub(pattern, moved, body), count


@dataclass
class Ragged:
    """Rows with another number of cells than the header, as Arrow tells of them while it reads on."""

    rows: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])

    def __call__(self, row: Any) -> Literal["skip"]:
        self.rows.append((row.text, row.actual_columns))
        return "skip"


def _table(name: str, layout: Layout, options: ReadOptions) -> tuple[pa.Table, list[str]]:
    import pyarrow as pa

    if not re.search(rb"[^\r\n]", layout.body):
        return pa.table({column: pa.array([], pa.string()) for column in layout.names}), ["no rows"]
    bad = Ragged()
    table = parsed(layout, bad)
    if not bad.rows:
        return table, []
    if not options.bad_rows:
        raise ToolFailure(f"{name}: {described(layout, bad.rows)}", ragged_hint(layout, bad.rows))
    said = f"{len(bad.rows)} rows have another number of cells than the header"
    if options.bad_rows == "drop":
        return table, [f"{said}: dropped"]
    return _padded(layout), [f"{said}: padded"]


def parsed(
    layout: Layout, bad: Callable[[Any], Literal["skip"]], blocks: Sequence[int] = BLOCKS, threads: bool = True
) -> pa.Table:
    """All cells as text, in chunks of as many bytes of the body as the first of `blocks` that no record exceeds."""
    import pyarrow as pa
    import pyarrow.csv as csv

    names, quoted = list(layout.names), bool(layout.quote) and layout.quote.encode() in layout.body
    parse = csv.ParseOptions(
        delimiter=layout.separator,
        # Where there is none, Arrow need not look for it.
        quote_char=layout.quote if quoted else False,
        newlines_in_values=quoted,
        invalid_row_handler=bad,
    )
    convert = csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False)
    for last, block in enumerate(blocks, 1):
        size = min(block, len(layout.body) + 1)
        read = csv.ReadOptions(column_names=names, block_size=size, use_threads=threads)
        try:
            return csv.read_csv(pa.BufferReader(layout.body), read, parse, convert)
        except pa.ArrowInvalid as error:
            if last == len(blocks) or "straddling" not in str(error):
                raise
    raise AssertionError("unreachable")


def described(layout: Layout, rows: Sequence[tuple[str, int]]) -> str:
    places = [f"line {_line(layout, text)} has {count}" for text, count in rows[:3]]
    more = f" and {len(rows) - 3} more rows" if len(rows) > 3 else ""
    return f"the header has {len(layout.names)} cells, but {', '.join(places)}{more}"


def _line(layout: Layout, text: str) -> int:
    place = max(layout.body.find(b"\n" + text.encode()) + 1, 0)
    return layout.first_line + layout.body.count(b"\n", 0, place)


def ragged_hint(layout: Layout, rows: Sequence[tuple[str, int]]) -> str:
    if len(layout.names) == 1 and all(re.fullmatch(r"\s*[-+]?\d+,\d+\s*", text) for text, _ in rows):
        return "If the comma is a decimal mark, pass options={'separator': ';', 'decimal': ','}; else bad_rows='pad'."
    return RAGGED_HINT


def _padded(layout: Layout) -> pa.Table:
    """Short rows end with empty cells, and the longest gives the number of columns."""
    import pyarrow as pa

    records = cells_of(layout.body.decode(), layout.separator, layout.quote)
    columns = list(zip_longest(*records, fillvalue=""))
    extra = [f"column_{place + 1}" for place in range(len(layout.names), len(columns))]
    names = distinct([*layout.names, *extra])
    columns += [("",) * len(records)] * (len(names) - len(columns))
    return pa.table({name: pa.array(cells, pa.string()) for name, cells in zip(names, columns, strict=True)})


def _is_empty(table: pa.Table, name: str) -> bool:
    return not any(text.strip() for text in table.column(name).unique().to_pylist())


def _blank_lines(layout: Layout, rows: int) -> int:
    """Blank lines between rows; those at the end are none, nor are those in quoted cells."""
    body = layout.body
    if body.count(b"\n") + (not body.endswith(b"\n")) == rows or (b"\n\n" not in body and b"\n\r\n" not in body):
        return 0
    if layout.quote and layout.quote.encode() in body:
        body = Quoting(layout.separator, layout.quote).without_cells(body)
    return len(re.findall(rb"\n(?=\r?\n)", body.rstrip(b"\r\n"))) + body.startswith((b"\n", b"\r\n"))
