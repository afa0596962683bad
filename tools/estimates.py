"""What every estimate says of itself, in one shape, and with the digits that it can bear."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Annotated, Any, Literal

from pydantic import BaseModel, PlainSerializer, WithJsonSchema

from .numbers import rounded

# Marks in an output schema what is rounded; `wire.py` takes it out again.
ROUNDED = "rounded"
_BRIEF: ContextVar[bool] = ContextVar("mlops_mcp_brief", default=False)


def _told(value: float) -> float:
    return rounded(value) if _BRIEF.get() else value


# A number that was estimated or derived: six significant digits in an answer, unless it is asked for in full. What is
# read from data, such as a cell or a prediction, is a plain float, and is never rounded.
Statistic = Annotated[
    float, PlainSerializer(_told, when_used="json"), WithJsonSchema({"type": "number", ROUNDED: True})
]
# The result of a job, whose type only the job knows.
AnyResult = Annotated[Any, WithJsonSchema({ROUNDED: True})]

# Against a baseline; of two that were compared, the first against the second; of one, against a bound; of two
# populations, the later against the earlier (no difference found is not_shown).
Verdict = Literal[
    "above_baseline", "not_distinguishable", "below_baseline",
    "better", "not_shown", "worse",
    "passed", "failed", "not_evaluated",
    "drifted", "same",
]  # fmt: skip


# By the side on which an interval leaves nothing out: 1 is better than the other, -1 worse, 0 neither is shown.
AGAINST_BASELINE: Mapping[int, Verdict] = {1: "above_baseline", 0: "not_distinguishable", -1: "below_baseline"}
AGAINST_ANOTHER: Mapping[int, Verdict] = {1: "better", 0: "not_shown", -1: "worse"}


class Estimate(BaseModel):
    """A value with how sure it is.

    `interval` holds the truth at the level that `method` names, e.g. "95 % logit-DeLong"; it is null where the data
    give none, and `reason` says why. `baseline` is what needs no model; `positives` are the rows of the positive class.
    """

    value: Statistic | None
    interval: tuple[Statistic, Statistic] | None = None
    method: str | None = None
    baseline: Statistic | None = None
    n: int
    positives: int | None = None
    verdict: Verdict | None = None
    reason: str | None = None


@contextmanager
def briefly(brief: bool) -> Generator[None]:
    """Within it, statistics that become JSON are rounded; outside they are stored as they are."""
    token = _BRIEF.set(brief)
    try:
        yield
    finally:
        _BRIEF.reset(token)


def holds_statistics(schema: Any) -> bool:
    """Whether an output schema has a number that is rounded."""
    if isinstance(schema, dict):
        return schema.get(ROUNDED) is True or any(holds_statistics(child) for child in schema.values())
    return isinstance(schema, list) and any(holds_statistics(child) for child in schema)
