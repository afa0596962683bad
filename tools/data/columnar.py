"""A large Parquet file some rows at a time: its columns become what they become when it is read as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, BinaryIO

from .bounds import named
from .columns import hints
from .extents import require_cells, require_extents
from .pieces import STEP, Stored, batches_of, grouped, opened_parquet
from .readers import plain_cast, plain_kind, plain_names, told

if TYPE_CHECKING:
    import pyarrow as pa

MAGIC = b"PAR1"


@dataclass(frozen=True)
class Fate:
    """What a column is stored as, None for bytes that are left out, and whether that means the same."""

    kind: pa.DataType | None
    same: bool = True


@dataclass(frozen=True)
class Columnar:
    """An open Parquet file with its columns by their plain names, which differ, and at least one row."""

    name: str
    file: BinaryIO
    schema: pa.Schema
    rows: int
    fates: Mapping[str, Fate]
    renamed: Sequence[str]

    @property
    def notes(self) -> list[str]:
        """What `normalise` says of the whole."""
        found, left_out = dict[str, list[str]](), [name for name, fate in self.fates.items() if fate.kind is None]
        for field in self.schema:
            fate = self.fates[field.name]
            if fate.kind is not None and not fate.same:
                found.setdefault(f"{field.type} stored as {fate.kind}", []).append(field.name)
        notes = [f"{named(names)}: {what}" for what, names in found.items()]
        return notes + ([f"left out, since binary: {named(left_out)}"] if left_out else [])

    @property
    def hints(self) -> list[str]:
        """What `hints` says of the whole."""
        return hints(self, self.column_names)

    @property
    def column_names(self) -> list[str]:
        return self.schema.names

    def column(self, name: str) -> Stored:
        return Stored(self.file, self.column_names.index(name), self.schema.field(name).type, self.rows)

    def parts(self) -> Iterator[pa.Table]:
        """The rows in the groups that they are stored in."""
        return grouped(map(self._fitted, self.tables()))

    def tables(self) -> Iterator[pa.Table]:
        import pyarrow as pa

        with told(self.name), opened_parquet(self.file) as file:
            for batch in batches_of(file, STEP):
                table = pa.Table.from_batches([batch]).rename_columns(self.column_names)
                require_extents(self.name, table)
                yield table

    def _fitted(self, table: pa.Table) -> pa.Table:
        import pyarrow as pa

        kept = {name: fate.kind for name, fate in self.fates.items() if fate.kind is not None}
        return pa.table({name: table.column(name).cast(kind, safe=False) for name, kind in kept.items()})


def columnar(name: str, file: BinaryIO) -> Columnar | None:
    """A Parquet file, unless something about it is said better by who reads all of it.

    Raises:
        ToolFailure: it cannot be read, or has more cells than a table may have.
    """
    with told(name), opened_parquet(file) as found:
        schema, rows = found.schema_arrow.remove_metadata(), found.metadata.num_rows
    require_cells(name, rows, len(schema))
    plain, renamed = plain_names(schema.empty_table())
    if not rows or len(set(schema.names)) < len(schema):
        return None
    raw = Columnar(name, file, plain.schema, rows, {}, renamed)
    fates = _fates(raw)
    return replace(raw, fates=fates) if any(fate.kind is not None for fate in fates.values()) else None


def _fates(source: Columnar) -> dict[str, Fate]:
    """Of columns that are not plain all cells are looked at: one that does not fit decides for all."""
    fates = {field.name: Fate(field.type) for field in source.schema}
    for name in [field.name for field in source.schema if plain_kind(field.type) != field.type]:
        pieces = [_fate(piece) for piece in source.column(name).pieces()]
        fates[name] = min(pieces, key=_fits)
        fates[name] = replace(fates[name], same=all(each.same for each in pieces))
    return fates


def _fate(piece: pa.ChunkedArray) -> Fate:
    column, same = plain_cast(piece, plain_kind(piece.type))
    return Fate(None if column is None else column.type, same)


def _fits(fate: Fate) -> int:
    """What is left out, or text, is so for all."""
    return 0 if fate.kind is None else 1 if fate.kind == "string" else 2
