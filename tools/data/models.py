"""What the data tools say."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

ColumnKind = Literal["text", "number", "time", "boolean"]
Cell = bool | int | float | str | None


class ReadOptions(BaseModel):
    """How to read a file: what is left out is detected and said.

    `quote` may be "none"; `sheet` names a sheet of a workbook or a file of a zip; `types` are by column, and text keeps
    cells as written; `time_format` is how strptime reads columns of type time; `bad_cells` are those that `types`
    cannot take, `bad_rows` those with too many or few cells.
    """

    model_config = ConfigDict(extra="forbid")

    encoding: str = ""
    separator: str = ""
    quote: str = ""
    header: bool | None = None
    skip_rows: int | None = None
    decimal: Literal["", ".", ","] = ""
    day_first: bool | None = None
    types: dict[str, ColumnKind] | None = None
    time_format: str = ""
    null_values: list[str] | None = None
    bad_cells: Literal["", "null"] = ""
    bad_rows: Literal["", "drop", "pad"] = ""
    sheet: str = ""

    @property
    def asked(self) -> dict[str, ColumnKind]:
        return self.types or {}

    @property
    def skipped(self) -> int:
        return max(self.skip_rows or 0, 0)

    @property
    def missing(self) -> list[str]:
        return self.null_values or []


class DatasetInfo(BaseModel):
    """An immutable dataset. The handle holds the digest of its content; `sql` is the query that gave it."""

    dataset: str
    rows: int
    columns: list[str]
    source: str
    created: str
    notes: list[str] = []
    sql: str | None = None
    undo: str | None = None


class QueryResult(BaseModel):
    """What a query returned, as a dataset: columns with their types, and the first rows."""

    dataset: str
    rows: int
    columns: dict[str, str]
    first_rows: list[dict[str, Cell]]
    sources: list[str]
    notes: list[str] = []
    undo: str | None = None


class DatasetLine(BaseModel):
    """A dataset in a list; describe_dataset says more, get_lineage names its sources in full."""

    dataset: str
    rows: int
    column_count: int
    first_columns: list[str]
    source: str
    created: str


class ColumnProfile(BaseModel):
    """One column; numbers and times have a range, text has its most frequent values.

    Nested columns are not compared: their `unique` is null.
    """

    name: str
    type: str
    missing: int
    unique: int | None = None
    min: float | int | str | None = None
    median: float | int | str | None = None
    max: float | int | str | None = None
    mean: float | None = None
    top: dict[str, int] | None = None


class DatasetProfile(BaseModel):
    """What is in a dataset, column by column, and what an analyst would look at first."""

    dataset: str
    rows: int
    duplicate_rows: int | None
    columns: list[ColumnProfile]
    constant_columns: list[str]
    notes: list[str]
    next_cursor: str | None = None


class SplitPart(BaseModel):
    """One part of a split; `first` and `last` are its times, `positive_rate` the mean of a 0/1 target."""

    dataset: str
    rows: int
    first: str | None = None
    last: str | None = None
    positive_rate: float | None = None


class Split(BaseModel):
    train: SplitPart
    validation: SplitPart | None
    test: SplitPart
    notes: list[str] = []
