"""What the quality tools take and say."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

Severity = Literal["critical", "warning", "info"]
Verdict = Literal["passed", "failed", "not_evaluated"]
Operator = Literal["==", "!=", "<", "<=", ">", ">=", "in", "not_in", "is_null", "not_null"]


class Expectation(BaseModel):
    """One rule of a suite: a Great Expectations type and its arguments."""

    model_config = ConfigDict(extra="forbid")

    type: str
    kwargs: dict[str, JsonValue] = {}
    severity: Severity = "critical"


class Condition(BaseModel):
    """A test of one column; a missing value satisfies is_null only."""

    model_config = ConfigDict(extra="forbid")

    column: str
    operator: Operator
    value: JsonValue = None


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
    duration_seconds: float
    results: list[RuleResult]
    notes: list[str] = []
