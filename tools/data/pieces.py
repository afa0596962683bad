"""A column in pieces, so that one of a large file is never in memory as a whole; and rows in groups of one size."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

# Rows of a group, fewer where they hold so many bytes, in whole steps: what is read is stored while there is more to
# read, and whoever asks of it reads as many groups at once as there are cores.
GROUP, STEP, GROUP_BYTES = 1 << 18, 1 << 16, 256 << 20
# Rows of a piece of a column; bytes that are read at once of what a file has of a column in a group.
PIECE, BUFFER = 1 << 18, 1 << 20


@contextmanager
def opened_parquet(source: Path | BinaryIO) -> Generator[pq.ParquetFile]:
    """A Parquet file of which little is read at once, however large its groups are."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(source, buffer_size=BUFFER) as file:
        yield file


def batches_of(file: pq.ParquetFile, rows: int, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """All rows, group by group: asked for all groups at once, Arrow keeps what it has read until the last one."""
    for group in range(file.num_row_groups):
        yield from file.iter_batches(rows, row_groups=[group], columns=columns and list(columns))


@dataclass(frozen=True)
class Stored:
    """A column of a Parquet file, by its place there, of which some rows are read at a time."""

    source: Path | BinaryIO
    place: int
    type: pa.DataType
    rows: int

    def __len__(self) -> int:
        return self.rows

    def pieces(self) -> Iterator[pa.ChunkedArray]:
        import pyarrow as pa

        with opened_parquet(self.source) as file:
            name = file.schema_arrow.names[self.place]
            for batch in batches_of(file, PIECE, [name]):
                # What the piece before has needed would be kept for later ones.
                pa.default_memory_pool().release_unused()
                yield pa.chunked_array([batch.column(name)])

    def slice(self, start: int, count: int) -> pa.ChunkedArray:
        """So many of its cells; only the groups up to there are read."""
        import pyarrow as pa

        found, seen = list[pa.Array](), 0
        for piece in self.pieces():
            found += piece.chunks
            seen += len(piece)
            if seen >= start + count:
                break
        return pa.chunked_array(found, self.type).slice(start, count)


@dataclass(frozen=True)
class StoredColumns:
    """Some columns of a Parquet file, of which `names` are all in their order."""

    source: Path | BinaryIO
    names: Sequence[str]
    schema: pa.Schema
    rows: int

    @property
    def column_names(self) -> list[str]:
        return self.schema.names

    def column(self, name: str) -> Stored:
        return Stored(self.source, self.names.index(name), self.schema.field(name).type, self.rows)


def pieces_of(column: pa.ChunkedArray | Stored) -> Iterable[pa.ChunkedArray]:
    """The column as one piece, unless it is stored."""
    return column.pieces() if isinstance(column, Stored) else (column,)


def grouped(parts: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The same rows in the groups that they are stored in, however they were cut; one table at least.

    The bytes are counted by steps of rows, so that the same rows make the same groups.
    """
    kept: list[pa.Table] = []
    rows, size, first = 0, 0, True
    for step in stepped(parts):
        kept.append(step)
        rows, size = rows + len(step), size + bytes_of(step)
        if rows >= GROUP or size >= GROUP_BYTES:
            del step  # what is put together is let go piece by piece
            yield _together(kept)
            rows, size, first = 0, 0, False
    if kept and (rows or first):
        yield _together(kept)


def _together(tables: list[pa.Table]) -> pa.Table:
    """All rows as a table of one piece; of the tables nothing is left, so that there is little of it twice."""
    import pyarrow as pa

    schema = tables[0].schema
    columns = [[chunk for table in tables for chunk in table.column(place).chunks] for place in range(len(schema))]
    tables.clear()
    whole = list[pa.ChunkedArray]()
    while columns:
        chunks = columns.pop(0)
        column = pa.chunked_array(chunks, schema.field(len(whole)).type)
        del chunks
        whole.append(pa.table([column], names=["column"]).combine_chunks().column(0))
    return pa.Table.from_arrays(whole, schema=schema)


def stepped(parts: Iterable[pa.Table], rows: int | None = None) -> Iterator[pa.Table]:
    """The same rows in tables of so many each, one step if it is not said, but for the last one."""
    import pyarrow as pa

    step = rows or STEP
    left: pa.Table | None = None
    for part in parts:
        rest = part if left is None else pa.concat_tables([left, part])
        while len(rest) > step:
            yield rest.slice(0, step)
            rest = rest.slice(step)
        left = rest
    if left is not None:
        yield left


def ahead(parts: Generator[pa.Table]) -> Generator[pa.Table]:
    """The same tables, each next one made by a thread while the one before is used.

    Whoever takes no further ones has no thread that makes them.
    """
    from concurrent.futures import ThreadPoolExecutor

    with closing(parts), ThreadPoolExecutor(max_workers=1) as pool:
        waiting = pool.submit(next, parts, None)
        while (part := waiting.result()) is not None:
            waiting = pool.submit(next, parts, None)
            yield part


def bytes_of(table: pa.Table) -> int:
    """About what the rows take, whatever they are a part of."""
    return sum(_bytes_of(column) for column in table.columns)


def _bytes_of(column: pa.ChunkedArray) -> int:
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if pa.types.is_string(kind):
        return int(pc.call_function("sum", [pc.call_function("binary_length", [column])]).as_py() or 0)
    try:
        return len(column) * kind.bit_width // 8
    except ValueError:  # nested, so of no fixed width
        return column.nbytes
