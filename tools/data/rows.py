"""The rows of a dataset for who looks at columns: in memory, or where that is too much, column by column from its file.

What is told of them is the same either way.
"""

# Arrow makes its compute functions when it is imported, out of a checker's sight.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..runtime.work import Work
from .columns import Texts
from .hashes import hashes_by_parts, kinds_of
from .models import ColumnProfile
from .pieces import STEP, StoredColumns, batches_of, opened_parquet
from .profile import comparable, described, hashes_of, profile, unique, valued
from .sandbox import parquet, sandbox
from .store import Dataset

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

# More cells are not held at once: about eight bytes each.
HELD_CELLS = 32 << 20
HEAD = 1000


@dataclass(frozen=True)
class Rows:
    """Columns of a dataset; `table` holds them if they are few enough."""

    path: Path
    schema: pa.Schema
    num_rows: int
    table: pa.Table | None

    @classmethod
    def of(cls, source: Dataset, columns: Sequence[str] | None) -> Rows:
        """All columns, or some of those that exist."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        schema = pq.read_schema(source.path)
        names = schema.names if columns is None else columns
        held = source.info.rows * len(names) <= HELD_CELLS
        fields = [schema.field(name) for name in names]
        return cls(source.path, pa.schema(fields), source.info.rows, source.table(columns) if held else None)

    @property
    def column_names(self) -> list[str]:
        return self.schema.names

    def column(self, name: str) -> pa.ChunkedArray:
        return (self._read([name]) if self.table is None else self.table).column(name)

    @property
    def texts(self) -> Texts:
        """The columns piece by piece."""
        if self.table is not None:
            return self.table
        return StoredColumns(self.path, self._stored_names, self.schema, self.num_rows)

    def head(self, names: Sequence[str], count: int) -> pa.Table:
        import pyarrow as pa

        if self.table is not None:
            return self.table.select(names).slice(0, count)
        found, seen = list[pa.Table](), 0
        for part in self.parts(names):
            found.append(part)
            seen += len(part)
            if seen >= count:
                break
        return pa.concat_tables(found).slice(0, count)

    def take(self, names: Sequence[str], places: np.ndarray) -> pa.Table:
        """Rows at ascending places."""
        import numpy as np
        import pyarrow as pa

        if self.table is not None:
            return self.table.select(names).take(places)
        found, start = list[pa.Table](), 0
        for part in self.parts(names):
            low, high = np.searchsorted(places, (start, start + len(part)))
            found.append(part.take(places[low:high] - start))
            start += len(part)
        return pa.concat_tables(found)

    def profile(self, work: Work, name: str, top: int) -> ColumnProfile:
        import pyarrow as pa

        kind = self.schema.field(name).type
        if self.table is None and (pa.types.is_string(kind) or pa.types.is_boolean(kind)):
            return self._counted(work, name, top)
        return profile(name, self.column(name), top)

    def numbers_rows(self, name: str) -> bool:
        """Whether a whole number or text is another one in every row."""
        import pyarrow as pa
        import pyarrow.compute as pc

        kind = self.schema.field(name).type
        if self.num_rows < 2 or not (pa.types.is_integer(kind) or pa.types.is_string(kind)):
            return False
        first = self.head([name], HEAD).column(0)
        if first.null_count or len(pc.unique(first)) < len(first):
            return False
        if self.table is None and pa.types.is_string(kind):
            hashes = self.hashes([name])
            return hashes is not None and kinds_of(hashes) == self.num_rows and not self.lacks(name)
        column = self.column(name)
        return not column.null_count and unique(column) == len(column)

    def hashes(self, names: Sequence[str]) -> np.ndarray | None:
        """64 bits of each row of these columns; None where a nested column cannot be compared, or there is none."""
        if not names or not all(comparable(self.schema.field(name).type) for name in names):
            return None
        if self.table is not None:
            return hashes_of(self.table.select(list(names)))
        return hashes_by_parts(self.parts(names), self.num_rows)

    def every_hash(self, names: Sequence[str]) -> np.ndarray:
        """`hashes`, in which numbers of all types and missing values are alike, and nested values count as written."""
        return hashes_by_parts(self.parts(names), self.num_rows)

    def lacks(self, name: str) -> bool:
        return any(part.column(0).null_count for part in self.parts([name]))

    def _counted(self, work: Work, name: str, top: int) -> ColumnProfile:
        """A column of text by DuckDB, whose table of values may go to disk; of equal counts the first in the file."""
        kind, listed = self.schema.field(name).type, [f"c{place}" for place in range(len(self._stored_names))]
        cell = f"c{self._stored_names.index(name)}"
        rows = f"{parquet(self.path, 'file_row_number = true')} AS given({', '.join([*listed, 'n'])})"
        most = f"SELECT {cell}, count(*) AS size FROM {rows} WHERE {cell} IS NOT NULL GROUP BY 1"
        with sandbox(work.settings) as connection:
            known, kinds = connection.execute(f"SELECT count({cell}), count(DISTINCT {cell}) FROM {rows}").fetchall()[0]
            found = connection.execute(f"{most} ORDER BY size DESC, min(n) LIMIT {top}").fetchall()
        return ColumnProfile.model_validate(
            described(name, kind, self.num_rows - known) | valued(kinds, [(value, count) for value, count in found])
        )

    @property
    def _stored_names(self) -> list[str]:
        import pyarrow.parquet as pq

        return pq.read_schema(self.path).names

    def _read(self, names: Sequence[str]) -> pa.Table:
        import pyarrow as pa
        import pyarrow.parquet as pq

        pa.default_memory_pool().release_unused()
        # A name is taken for the first part of longer ones as well.
        return pq.ParquetFile(self.path).read(columns=list(names)).select(list(names))

    def parts(self, names: Sequence[str]) -> Iterator[pa.Table]:
        """All rows of some columns, as many at a time as may be held."""
        import pyarrow as pa

        if self.table is not None:
            yield self.table.select(list(names))
            return
        with opened_parquet(self.path) as file:
            for batch in batches_of(file, STEP, names):
                yield pa.Table.from_batches([batch]).select(list(names))
