"""The rows that rules are run over: as DuckDB for us, and as pandas for the library."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ..data.store import Dataset
from ..numbers import EXACT
from ..runtime.work import Work
from .models import Condition, Expectation
from .rows import compute, select
from .scan import Facts, Scan, scan_of
from .suites import columns_of

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

Scope = Literal["schema", "types", "values"]


@dataclass(frozen=True)
class Subject:
    """A dataset of `count` selected rows, with the columns that rules and conditions name and its whole schema.

    `chosen` are the rows that satisfy the conditions, if there are any, and their numbers in the dataset.
    """

    path: Path
    schema: pa.Schema
    count: int
    named: Sequence[str]
    scan: Scan
    chosen: tuple[pa.Table, pa.Array] | None

    @property
    def conditional(self) -> bool:
        return self.chosen is not None

    @property
    def columns(self) -> list[str]:
        return list(self.schema.names)

    @cached_property
    def facts(self) -> dict[str, Facts]:
        return self.scan.facts(self.named)

    def kind(self, column: object) -> pa.DataType | None:
        return self.schema.field(column).type if column in self.columns else None

    def infinite(self) -> dict[str, int]:
        """How many infinite values a column holds; they satisfy a one-sided bound."""
        return {name: facts.infinite for name, facts in self.facts.items() if facts.infinite}

    def all_missing(self, name: str) -> bool:
        return not self.facts[name].known

    def has_gaps(self, name: str) -> bool:
        return self.facts[name].known < self.count

    def is_large(self, name: str) -> bool:
        """Whether a column holds whole numbers that a double would round."""
        return max(abs(self.facts[name].low), abs(self.facts[name].high)) > EXACT

    def frame(self, scope: Scope, columns: Sequence[str]) -> pd.DataFrame:
        """The columns as the library needs them for a kind of rule, indexed by the rows' numbers in the dataset."""
        import pandas as pd
        import pyarrow as pa

        if scope == "schema":
            return self.schema.empty_table().to_pandas()
        part = self._part(columns)
        frame = part.to_pandas()
        for field in part.schema:
            # A whole number with gaps becomes a float, which changes its type and merges large neighbours.
            values = part.column(field.name)
            holes = pa.types.is_integer(field.type) and bool(values.null_count)
            if holes and (scope == "types" or self.is_large(field.name)):
                frame[field.name] = values.to_pandas(types_mapper={field.type: pd.Int64Dtype()}.get)
        frame.index = pd.RangeIndex(1, self.count + 1) if self.chosen is None else pd.Index(self.chosen[1].to_numpy())
        return frame

    def at(self, rows: Sequence[int], columns: Sequence[str]) -> list[dict[str, object]]:
        """The values in the rows with these numbers, which ascend, exact."""
        import pyarrow as pa

        if self.chosen is not None:
            table, numbers = self.chosen
            places = compute().index_in(pa.array(rows, numbers.type), value_set=numbers)
            found: list[dict[str, object]] = table.select(list(columns)).take(places).to_pylist()
            return found
        return [record for part in _in_file(self.path, rows, columns) for record in part.to_pylist()]

    def _part(self, columns: Sequence[str]) -> pa.Table:
        import pyarrow.parquet as pq

        return self.chosen[0].select(columns) if self.chosen else pq.read_table(self.path, columns=list(columns))


@contextmanager
def subject_of(
    work: Work, source: Dataset, rules: Sequence[Expectation], conditions: Sequence[Condition]
) -> Generator[Subject]:
    """Only the columns that a rule or condition names are read; rules about columns see the names of all."""
    import pyarrow.parquet as pq

    called = {column for rule in rules for column in columns_of(rule)} | {item.column for item in conditions}
    named = [column for column in source.info.columns if column in called] or source.info.columns[:1]
    chosen = select(source.table(named), conditions) if conditions else None
    schema = pq.read_schema(source.path)
    with scan_of(work.settings, source.path, schema, chosen) as scan:
        yield Subject(source.path, schema, len(chosen[1]) if chosen else source.info.rows, named, scan, chosen)


def _in_file(path: Path, rows: Sequence[int], columns: Sequence[str]) -> Generator[pa.Table]:
    """The rows of a file with these numbers, from those of its groups that hold any."""
    import numpy as np
    import pyarrow.parquet as pq

    file, places, first = pq.ParquetFile(path), np.asarray(rows, dtype=np.int64) - 1, 0
    for group in range(file.num_row_groups):
        last = first + file.metadata.row_group(group).num_rows
        inside = places[(places >= first) & (places < last)]
        if len(inside):
            # A name is taken for the first part of longer ones as well.
            yield file.read_row_group(group, columns=list(columns)).select(list(columns)).take(inside - first)
        first = last
