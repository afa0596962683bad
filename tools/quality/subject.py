"""The rows that rules are run over, as Arrow for us and as pandas for the library."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ..numbers import EXACT
from .rows import compute

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

Scope = Literal["schema", "types", "values"]


@dataclass(frozen=True)
class Subject:
    """The selected rows with the columns that rules name, their numbers in the dataset, and its whole schema."""

    table: pa.Table
    rows: pa.Array
    schema: pa.Schema
    conditional: bool

    @property
    def columns(self) -> list[str]:
        return list(self.schema.names)

    def kind(self, column: object) -> pa.DataType | None:
        return self.schema.field(column).type if column in self.columns else None

    def infinite(self) -> dict[str, int]:
        """How many infinite values a column holds; they satisfy a one-sided bound."""
        import pyarrow as pa

        pc = compute()
        floats = [field.name for field in self.table.schema if pa.types.is_floating(field.type)]
        counts = {name: pc.sum(pc.is_inf(self.table.column(name))).as_py() or 0 for name in floats}
        return {name: count for name, count in counts.items() if count}

    def all_missing(self, name: str) -> bool:
        pc = compute()
        return bool(pc.all(pc.is_null(self.table.column(name), nan_is_null=True)).as_py())

    def frame(self, scope: Scope, columns: Sequence[str]) -> pd.DataFrame:
        """The columns as the library needs them for a kind of rule, indexed by the rows' numbers in the dataset."""
        import pandas as pd
        import pyarrow as pa

        if scope == "schema":
            return self.schema.empty_table().to_pandas()
        part = self.table.select(columns)
        frame = part.to_pandas()
        for field in part.schema:
            # A whole number with gaps becomes a float, which changes its type and merges large neighbours.
            if pa.types.is_integer(field.type) and part.column(field.name).null_count:
                values = part.column(field.name)
                if scope == "types" or _is_large(values):
                    frame[field.name] = values.to_pandas(types_mapper={field.type: pd.Int64Dtype()}.get)
        frame.index = pd.Index(self.rows.to_numpy())
        return frame

    def at(self, rows: Sequence[int], columns: Sequence[str]) -> list[dict[str, object]]:
        """The values in the rows with these numbers, exact."""
        import pyarrow as pa

        places = compute().index_in(pa.array(rows, self.rows.type), value_set=self.rows)
        found: list[dict[str, object]] = self.table.select(list(columns)).take(places).to_pylist()
        return found


def _is_large(values: pa.ChunkedArray) -> bool:
    extremes = compute().min_max(values).as_py()
    return any(value is not None and abs(value) > EXACT for value in extremes.values())
