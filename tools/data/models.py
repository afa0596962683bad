"""What the data tools say."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

ColumnKind = Literal["text", "number", "time", "boolean"]


class ReadOptions(BaseModel):
    """How to read a file. What is left out is detected and said in the notes."""

    model_config = ConfigDict(extra="forbid")

    encoding: Annotated[str, Field(description="E.g. cp1250.")] = ""
    separator: str = ""
    quote: Annotated[str, Field(description="A character, or none.")] = ""
    header: Annotated[bool | None, Field(description="Whether the first line names the columns.")] = None
    skip_rows: Annotated[int, Field(ge=0, description="Lines above the header.")] = 0
    decimal: Annotated[Literal["", ".", ","], Field(description="The other mark groups thousands.")] = ""
    day_first: bool | None = None
    types: Annotated[dict[str, ColumnKind], Field(description="By column; text keeps cells as written.")] = {}
    null_values: Annotated[list[str], Field(description="More cells that mean missing.")] = []
    bad_cells: Annotated[Literal["refuse", "null"], Field(description="Cells that `types` cannot take.")] = "refuse"
    bad_rows: Annotated[Literal["refuse", "drop", "pad"], Field(description="With too many or few cells.")] = "refuse"
    sheet: Annotated[str, Field(description="Of a workbook; file of a zip.")] = ""


class DatasetInfo(BaseModel):
    """An immutable dataset. The handle holds the digest of its content."""

    dataset: str
    rows: int
    columns: list[str]
    source: str
    created: str
    notes: list[str] = []


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
