"""Run checked rules over the rows of a subject, and judge what comes back."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .examples import broken_by, rows_of
from .library import Engine, by_library
from .models import Expectation, RuleResult
from .obstacles import obstacle, strange_set
from .plain import plain
from .plan import Found
from .plans import planned
from .subject import Subject

# They report no observed value at this level of detail even when they ran.
WITHOUT_OBSERVED = "expect_column_distinct_values_"


@dataclass(frozen=True)
class Judged:
    """A result and the rows that break the rule: the first ones, unless it is `complete`."""

    result: RuleResult
    rows: Sequence[int] = ()

    @property
    def complete(self) -> bool:
        return self.result.verdict != "failed" or (self.result.unexpected or 0) <= len(self.rows)


def run(
    engine: Callable[[], Engine], subject: Subject, rules: Sequence[Expectation], complete: bool = False
) -> list[Judged]:
    """One result per rule, in the order of the suite.

    Args:
        engine: opens the library, which takes seconds, for the rules that have no plan.
        complete: whether every row that breaks a rule is named, not only the first ones.
    """
    hindered = {place: reason for place, rule in enumerate(rules) if (reason := obstacle(subject, rule))}
    waiting = {place: rule for place, rule in enumerate(rules) if place not in hindered}
    found: dict[int, Found | str] = {**hindered, **planned(subject, waiting, complete)}
    left = {place: rule for place, rule in waiting.items() if place not in found}
    found |= by_library(engine(), subject, left, complete) if left else {}
    return [judged(subject, place, rule, found[place]) for place, rule in enumerate(rules)]


def judged(subject: Subject, place: int, rule: Expectation, found: Found | str) -> Judged:
    if isinstance(found, str):
        return Judged(_result(place, rule, "not_evaluated", found))
    if reason := _unusable(rule, found.result, found.success):
        result = _result(place, rule, "not_evaluated", reason).model_copy(update=_counts(found.result))
        return Judged(result, rows_of(found.result))
    verdict = "passed" if found.success else "failed"
    strange = strange_set(subject, rule) if verdict == "failed" else ""
    result = _result(place, rule, verdict, strange or None)
    told = {**_counts(found.result), **broken_by(subject, rule, found.result)}
    return Judged(result.model_copy(update=told), rows_of(found.result))


def _counts(found: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "observed": plain(found.get("observed_value")),
        "elements": found.get("element_count"),
        "missing": found.get("missing_count"),
        "unexpected": found.get("unexpected_count"),
        "unexpected_percent": _percent(found.get("unexpected_percent")),
    }


def _percent(value: float | None) -> float | None:
    """Rounded, but 0 only where nothing is unexpected, and 100 only where all is."""
    if value is None or value in (0, 100):
        return value
    return min(round(value, 4), 99.9999) if value >= 1 else float(f"{value:.3g}")


def _unusable(rule: Expectation, found: Mapping[str, Any], success: bool) -> str:
    """Why a result that came without an exception says nothing."""
    elements = found.get("element_count")
    if elements is not None and elements in (0, found.get("missing_count")):
        return "every row is left out because values are missing"
    if "observed_value" not in found or rule.type.startswith(WITHOUT_OBSERVED):
        return ""
    observed = found["observed_value"]
    numbers = observed["values"] if isinstance(observed, dict) and "values" in observed else [observed]
    if any(plain(number) is None for number in numbers):
        return "no value can be computed from these rows"
    if success and any(isinstance(number, float) and math.isinf(number) for number in numbers):
        return "the computed value is infinite, which satisfies any bound"
    return ""


def _result(position: int, rule: Expectation, verdict: Any, reason: str | None = None) -> RuleResult:
    return RuleResult(
        rule=position + 1,
        type=rule.type,
        kwargs=rule.kwargs,
        severity=rule.severity,
        verdict=verdict,
        reason=reason,
    )
