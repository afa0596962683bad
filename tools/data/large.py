"""A large file some rows at a time; a delimited one in blocks of whole records, kept on disk as text and then read
column by column.

What it is read as is the same as of all of it at once; a file that is not plain enough for that is left to whoever
reads all of it.
"""

from __future__ import annotations

import codecs
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from ..errors import ToolFailure
from ..user_files import held
from .cells import Column
from .columnar import MAGIC, columnar
from .columns import notes_on, read_columns
from .delimited import Quoting, Ragged, described, parsed, ragged_hint
from .extents import require_cells, require_columns
from .layout import Layout, layout_of
from .models import ReadOptions
from .opening import Opened, is_packed
from .pieces import Stored, grouped, stepped
from .readers import normalise, told

if TYPE_CHECKING:
    import pyarrow as pa

# Less is read at once.
LARGE = 256 << 20
BLOCK = 32 << 20
# The longest record, in blocks.
LONGEST = 4


Tell = Callable[[float, float, str], None]


class UnlikeError(Exception):
    """The file can only be read as a whole."""


@dataclass(frozen=True)
class Spilled:
    """The cells of a file as text, in a Parquet file."""

    path: Path
    layout: Layout
    rows: int

    @property
    def column_names(self) -> list[str]:
        return list(self.layout.names)

    def column(self, name: str) -> Stored:
        import pyarrow as pa

        return Stored(self.path, self.column_names.index(name), pa.string(), self.rows)


@dataclass(frozen=True)
class Large:
    """Its rows, some at a time, and notes on how it was read."""

    parts: Iterator[pa.Table]
    notes: list[str]


def is_large(source: Path) -> bool:
    return source.is_file() and source.stat().st_size > LARGE


@contextmanager
def read_large(source: Path, options: ReadOptions, folder: Path, tell: Tell) -> Generator[Large | None]:
    """The rows of a file, as long as `folder` is there; None where it has to be read as a whole.

    Args:
        tell: is told how much of it is done, of how much, and what that is.

    Raises:
        ToolFailure: as of `read_table`.
    """
    with held(source) as file:
        if file.read(len(MAGIC)) == MAGIC:
            yield _columns(source.name, file, options, tell)
        else:
            file.seek(0)
            yield _cells(source.name, file, options, folder, tell)


def _columns(name: str, file: BinaryIO, options: ReadOptions, tell: Tell) -> Large | None:
    found = columnar(name, file) if not (options.asked or options.missing) else None
    return (
        Large(_told(found.parts(), found.rows, tell), [*found.renamed, *found.hints, *found.notes]) if found else None
    )


def _told(parts: Iterable[pa.Table], rows: int, tell: Tell) -> Iterator[pa.Table]:
    done = 0
    for part in parts:
        tell(done, rows, "rows stored")
        yield part
        done += len(part)


def _cells(name: str, file: BinaryIO, options: ReadOptions, folder: Path, tell: Tell) -> Large | None:
    try:
        with told(name):
            text = _spilled(name, file, options, folder / "text.parquet", tell)
            keep = _kept_in(folder, text.column_names, tell)
            columns = read_columns(text, options, text.layout.separator, keep, workers=1)
    except UnlikeError:
        return None
    text.path.unlink()
    first = f"delimiter {text.layout.delimiter}, types inferred from text"
    kinds = {name: column.values.type for name, column in columns.items()}
    return Large(
        _told(grouped(_parts(folder, kinds)), text.rows, tell), [first, *text.layout.notes, *notes_on(columns)]
    )


def _spilled(name: str, file: BinaryIO, options: ReadOptions, path: Path, tell: Tell) -> Spilled:
    import pyarrow as pa
    import pyarrow.parquet as pq

    size, head = os.fstat(file.fileno()).st_size >> 20, _head(name, file, options)
    layout = layout_of(name, head, "\t" if Path(name).suffix.lower() in (".tsv", ".tab") else ",", options)
    require_columns(name, len(layout.names))
    if layout.separator == " " or layout.unnamed or not layout.body:
        raise UnlikeError
    file.seek(file.tell() - len(layout.body))
    rows, schema = 0, pa.schema([(column, pa.string()) for column in layout.names])
    with pq.ParquetWriter(path, schema, compression="snappy", use_dictionary=False) as writer:
        for part in _tables(name, file, layout, options):
            tell(file.tell() >> 20, size, "MB of text read")
            rows += part.num_rows
            require_cells(name, rows, len(layout.names))
            writer.write_table(part)
    if not rows:
        raise UnlikeError
    return Spilled(path, replace(layout, body=b""), rows)


def _head(name: str, file: BinaryIO, options: ReadOptions) -> bytes:
    """The first block up to the end of a line; the file is read up to there.

    Raises:
        UnlikeError: it is packed, or no text in UTF-8.
    """
    head = file.read(BLOCK)
    start = len(codecs.BOM_UTF8) if head.startswith(codecs.BOM_UTF8) else 0
    head = head[: head.rfind(b"\n") + 1]
    file.seek(len(head))
    found = Opened(name, head[start:])
    utf8 = not options.encoding or codecs.lookup(options.encoding).name == "utf-8"
    if not found.data or is_packed(found.data) or found.format != "delimited" or not utf8:
        raise UnlikeError
    _require_text(found.data)
    return found.data


def _tables(name: str, file: BinaryIO, layout: Layout, options: ReadOptions) -> Iterator[pa.Table]:
    line = layout.first_line
    for body in _bodies(file, Quoting(layout.separator, layout.quote) if layout.quote else None):
        _require_text(body)
        here, bad = replace(layout, body=body, first_line=line), Ragged()
        part = parsed(here, bad)
        if bad.rows and options.bad_rows:
            raise UnlikeError
        if bad.rows:
            raise ToolFailure(f"{name}: {described(here, bad.rows)}", ragged_hint(here, bad.rows))
        lines = body.count(b"\n")
        if lines + (not body.endswith(b"\n")) != part.num_rows and (b"\n\n" in body or b"\n\r\n" in body):
            raise UnlikeError  # blank lines are counted, or belong to a cell
        line += lines
        yield part


def _bodies(file: BinaryIO, quoting: Quoting | None) -> Iterator[bytes]:
    """Pieces of a file that hold whole records, without the blank lines at its end."""
    rest = b""
    while data := file.read(BLOCK):
        rest += data
        if end := _end_of_records(rest, quoting):
            yield rest[:end]
            rest = rest[end:]
        elif len(rest) > LONGEST * BLOCK:
            raise UnlikeError
    if rest.strip(b"\r\n"):
        if quoting and quoting.broken(rest) is not None:
            raise UnlikeError  # who reads it all says which quote is left open, or reads it otherwise
        yield rest.rstrip(b"\r\n") + b"\n"


def _end_of_records(data: bytes, quoting: Quoting | None) -> int:
    """Behind the last line that is not blank and ends outside of quotes."""
    last = len(data[: data.rfind(b"\n") + 1].rstrip(b"\r\n"))
    end = data.find(b"\n", last) + 1 if last else 0
    if not quoting or quoting.quote not in data:
        return end
    if quoting.has_spaces(data):
        raise UnlikeError
    while end and (broken := quoting.broken(data[:end])) is not None:
        end = data.rfind(b"\n", 0, broken) + 1
    return end


def _require_text(data: bytes) -> None:
    """Raises UnlikeError for other text than UTF-8 in lines that end as usual."""
    try:
        plain = data.isascii() or bool(data.decode())
    except UnicodeDecodeError:
        raise UnlikeError from None
    if not plain or b"\0" in data or data.count(b"\r") != data.count(b"\r\n") or data.startswith((b"\n", b"\r")):
        raise UnlikeError


def _kept_in(folder: Path, names: list[str], tell: Tell) -> Callable[[str, Column], Column]:
    """Store a column that was read; what is left of it has its type and limits."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    def keep(name: str, column: Column) -> Column:
        tell(names.index(name), len(names), "columns read")
        values = column.values
        kind = values.type
        with pq.ParquetWriter(
            folder / f"{names.index(name)}.parquet", pa.schema([("values", kind)]), use_dictionary=False
        ) as writer:
            for step in stepped(pa.table({"values": piece}) for piece in column.pieces):
                writer.write_table(step)
        numeric = pa.types.is_integer(kind) or pa.types.is_floating(kind)
        limits = list(pc.call_function("min_max", [values]).as_py().values()) if numeric else []
        return replace(column, values=pa.chunked_array([pa.array(limits, kind)]), texts=None)

    return keep


def _parts(folder: Path, kinds: Mapping[str, pa.DataType]) -> Iterator[pa.Table]:
    """Rows of what was kept; the file knows times of the day in fewer units than Arrow."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    files = {name: pq.ParquetFile(folder / f"{place}.parquet") for place, name in enumerate(kinds)}
    for group in range(next(iter(files.values())).num_row_groups):
        columns = {name: file.read_row_group(group).column(0).cast(kinds[name]) for name, file in files.items()}
        yield normalise(pa.table(columns))[0]
