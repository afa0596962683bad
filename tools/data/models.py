"""What the data tools say."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from ..estimates import Estimate, Statistic, Verdict
from ..runtime.models import JobView, Progress, State

ColumnKind = Literal["text", "number", "time", "boolean"]
Cell = bool | int | float | str | None


class ReadOptions(BaseModel):
    """How to read a file: what is left out is detected and said.

    `quote` may be "none"; `sheet` names a sheet of a workbook or a file of a zip; `types` are by column, and text keeps
    cells as written; `time_format` is how strptime reads columns of type time; `bad_cells` are those that `types`
    cannot take, `bad_rows` those with too many or few cells. `null_values` are missing beside what files write for it;
    of an empty list nothing is.
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


class LoadRequest(BaseModel):
    """A file to load, which may be large."""

    path: str
    name: str = ""
    options: ReadOptions | None = None


class Loaded(BaseModel):
    """A dataset as DatasetInfo; while a large file is being read its job instead, which `next` waits for."""

    dataset: str | None = None
    rows: int | None = None
    columns: list[str] | None = None
    source: str | None = None
    created: str | None = None
    notes: list[str] = []
    sql: str | None = None
    undo: str | None = None
    job: str | None = None
    state: State | None = None
    progress: Progress | None = None
    error: str | None = None
    next: str | None = None

    @classmethod
    def of(cls, seen: DatasetInfo | JobView[DatasetInfo]) -> Loaded:
        if isinstance(seen, DatasetInfo):
            return cls.model_validate(seen.model_dump())
        found = seen.result.model_dump() if seen.result else {}
        notes = [*found.get("notes", []), *(seen.notes or [])]
        told = seen.model_dump(include={"job", "state", "progress", "error", "next"})
        return cls.model_validate(found | told | {"notes": notes})


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
    mean: Statistic | None = None
    std: Statistic | None = None
    quantiles: dict[str, float | int | str | None] | None = None
    top: dict[str, int] | None = None
    score: Statistic | None = None
    leak: str | None = None


class TargetProfile(BaseModel):
    """The target, and what `score` is: how well a column alone tells it, on rows that were not fitted on.

    `chance` is where a column that tells nothing scores in 95 of 100 cases; `reason` says why nothing is scored.
    """

    column: str
    task: str
    missing: int
    classes: dict[str, int] | None = None
    metric: str | None = None
    baseline: Statistic | None = None
    chance: tuple[Statistic, Statistic] | None = None
    rows: int = 0
    reason: str | None = None


class DatasetProfile(BaseModel):
    """What is in a dataset, column by column, and what an analyst would look at first.

    `duplicate_rows` repeat an earlier one, `repeated_features` in all but identifiers and the target; `conflicting`
    have the features of a row with another target.
    """

    dataset: str
    rows: int
    duplicate_rows: int | None
    repeated_features: int | None
    conflicting: int | None = None
    target: TargetProfile | None = None
    columns: list[ColumnProfile]
    constant_columns: list[str]
    notes: list[str]
    next_cursor: str | None = None


class SharedRows(BaseModel):
    """Rows of the second that are in the first: `rows` in all columns, `alike` in all but identifiers, key and target.

    `conflicting` of them have a target there that none of their likes has; `keys` are in both; `chance` says that there
    are so few distinct rows that they repeat anyway.
    """

    rows: int
    alike: int
    conflicting: int | None = None
    keys: int | None = None
    chance: bool = False


class SplitPart(BaseModel):
    """One part of a split; `first` and `last` are its times, `positive_rate` the mean of a 0/1 target."""

    dataset: str
    rows: int
    first: str | None = None
    last: str | None = None
    positive_rate: float | None = None


class Split(BaseModel):
    """The parts; `shared` holds which rows of one an earlier one has, e.g. "test in train"."""

    train: SplitPart
    validation: SplitPart | None
    test: SplitPart
    shared: dict[str, SharedRows] = {}
    notes: list[str] = []
    undo: str | None = None


class CompareRequest(BaseModel):
    """What is compared with what; `columns` empty for all."""

    reference: str
    current: str
    columns: list[str] = []
    target: str = ""
    key: str = ""


class ColumnDrift(BaseModel):
    """A column in both datasets; of two values the first is the reference's.

    `p` is corrected for all tests; `distance` is that of Kolmogorov and Smirnov, or of total variation (0 to 1);
    `change` turns the reference into the current; `changed` counts other values under the same key.
    """

    column: str
    kind: str
    verdict: Verdict
    p: Statistic | None = None
    test: str | None = None
    distance: Statistic | None = None
    psi: Statistic | None = None
    change: str | None = None
    missing: tuple[Statistic, Statistic] | None = None
    mean: tuple[Statistic | None, Statistic | None] | None = None
    std: tuple[Statistic | None, Statistic | None] | None = None
    quantiles: dict[str, tuple[Statistic | None, Statistic | None]] | None = None
    span: tuple[str | None, str | None] | None = None
    gained: dict[str, int] | None = None
    lost: dict[str, int] | None = None
    changed: int | None = None
    reason: str | None = None


class DatasetComparison(BaseModel):
    """Whether the current rows come from the same population as the reference's; columns that drifted most first.

    `two_sample` is the AUC at which a classifier tells the datasets apart: 0.5 if it cannot.
    """

    reference: str
    current: str
    rows: tuple[int, int]
    verdict: Verdict
    drifted: int
    compared: int
    columns: list[ColumnDrift]
    added: list[str]
    lost: list[str]
    retyped: dict[str, str]
    two_sample: Estimate
    shared: SharedRows | None
    method: str
    notes: list[str]
