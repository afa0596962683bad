"""What the quality tools take and say."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from ..vocabulary import CellOrCells

Severity = Literal["critical", "warning", "info"]
Verdict = Literal["passed", "failed", "not_evaluated"]
Operator = Literal["==", "!=", "<", "<=", ">", ">=", "in", "not_in", "is_null", "not_null"]


class Expectation(BaseModel):
    """A rule."""

    model_config = ConfigDict(extra="forbid")

    type: str
    kwargs: dict[str, JsonValue] = {}
    severity: Severity = "critical"


class Condition(BaseModel):
    """A missing value satisfies is_null only."""

    model_config = ConfigDict(extra="forbid")

    column: str
    operator: Operator
    value: CellOrCells = None


class SuiteInfo(BaseModel):
    """One version of a suite, without its rules."""

    suite: str
    version: int
    rules: int
    columns: list[str]
    created: str
    notes: list[str] = []
    undo: str | None = None


class Suite(SuiteInfo):
    """A suite and one page of its rules, in their order."""

    expectations: list[Expectation]
    next_cursor: str | None = None


class StoredSuite(BaseModel):
    """A version of a suite as it lies on disk."""

    model_config = ConfigDict(extra="forbid")

    name: str
    version: int
    created: str
    expectations: list[Expectation]


class Example(BaseModel):
    """A value that breaks a rule, in how many rows, and the first of them, counted from 1 in the dataset."""

    value: JsonValue
    count: int | None = None
    row: int | None = None


class RuleResult(BaseModel):
    """What one rule found. Percentages are of the values that are not missing."""

    rule: Annotated[int, Field(description="Position in the suite, from 1.")]
    type: str
    kwargs: dict[str, JsonValue]
    severity: Severity
    verdict: Verdict
    reason: str | None = None
    observed: JsonValue = None
    elements: int | None = None
    missing: int | None = None
    unexpected: int | None = None
    unexpected_percent: float | None = None
    surplus: Annotated[int | None, Field(description="Rows to drop for values to be unique.")] = None
    examples: Annotated[list[Example] | None, Field(description="Most frequent first.")] = None
    more_values: Annotated[int | None, Field(description="Distinct bad values beyond the examples.")] = None
    counted: Annotated[int | None, Field(description="Bad rows that were looked at, if not all.")] = None


class Validation(BaseModel):
    """The verdict on a dataset. `success` is true only when every rule passed."""

    validation: str
    dataset: str
    suite: str
    suite_version: int
    verdict: Verdict
    success: bool
    passed: int
    failed: int
    not_evaluated: int
    worst_failed: Annotated[Severity | None, Field(description="Severity of the gravest failed rule.")] = None
    rows: int
    selected_rows: int
    row_condition: list[Condition] = []
    broken_rows: Annotated[int | None, Field(description="Distinct rows that break any rule.")] = None
    duration_seconds: float
    results: list[RuleResult]
    notes: list[str] = []
    undo: str | None = None


class StoredValidation(BaseModel):
    """A validation read again, with the rows that break its rules or one of them.

    `failing` holds these rows with their numbers in the dataset (`row`, from 1) and the rules they break (`rules`);
    `values` are the distinct bad values of the one rule that was asked for.
    """

    validation: str
    dataset: str
    suite: str
    suite_version: int
    verdict: Verdict
    rows: int
    selected_rows: int
    broken_rows: int | None
    failing: str | None
    results: list[RuleResult]
    values: list[Example] = []
    next_cursor: str | None = None
    notes: list[str] = []
    undo: str | None = None


class DocsRequest(BaseModel):
    """How many of the newest validations to show."""

    limit: int


class DataDocs(BaseModel):
    """A static site on the disk of the server: open `path` in a browser. It fetches and runs nothing."""

    path: str
    pages: int
    suites: int
    validations: int
    notes: list[str] = []


class SuggestedRule(Expectation):
    """A rule and what in the data it comes from."""

    reason: str


class SuggestedSuite(BaseModel):
    """A stored suite of rules that hold for a dataset, unless a reason says otherwise; get_suite shows all rules."""

    suite: str
    version: int
    dataset: str
    rules: int
    expectations: list[SuggestedRule]
    notes: list[str] = []
    undo: str | None = None


class ExpectationType(BaseModel):
    """A type of rule; the kwargs with a * are needed."""

    type: str
    kwargs: str
    about: str
