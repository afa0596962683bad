"""A large file some rows at a time; a delimited one in blocks of whole records, kept on disk as text and then read
column by column.

What it is read as is the same as of all of it at once; a file that is not plain enough for that is left to whoever
reads all of it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from ..errors import ToolFailure
from ..user_files import held
from . import blocks
from .blocks import UnlikeError, bodies, layout_at, require_no_blank_lines, require_text
from .cells import Column
from .columnar import MAGIC, columnar
from .columns import notes_on, read_columns
from .delimited import Ragged, described, parsed, ragged_hint
from .extents import require_cells
from .layout import Layout
from .models import ReadOptions
from .pieces import Stored, grouped, stepped
from .readers import normalise, told

if TYPE_CHECKING:
    import pyarrow as pa

# Less is read at once.
LARGE = 256 << 20

Tell = Callable[[float, float, str], None]


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

    size, layout = os.fstat(file.fileno()).st_size >> 20, layout_at(name, file, options, blocks.BLOCK)
    rows, schema = 0, pa.schema([(column, pa.string()) for column in layout.names])
    with pq.ParquetWriter(path, schema, compression="snappy", use_dictionary=False) as writer:
        for part in _tables(name, file, layout, options):
            tell(file.tell() >> 20, size, "MB of text read")
            rows += part.num_rows
            require_cells(name, rows, len(layout.names))
            writer.write_table(part)
    if not rows:
        raise UnlikeError
    return Spilled(path, layout, rows)


def _tables(name: str, file: BinaryIO, layout: Layout, options: ReadOptions) -> Iterator[pa.Table]:
    line = layout.first_line
    for body in bodies(file, layout, blocks.BLOCK):
        require_text(body)
        here, bad = replace(layout, body=body, first_line=line), Ragged()
        part = parsed(here, bad)
        if bad.rows and options.bad_rows:
            raise UnlikeError
        if bad.rows:
            raise ToolFailure(f"{name}: {described(here, bad.rows)}", ragged_hint(here, bad.rows))
        line += require_no_blank_lines(body, part.num_rows)
        yield part


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
