"""Run checked rules over a table with Great Expectations, and judge what comes back."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...config.settings import Settings
from ..errors import ToolFailure
from .examples import COUNTED, broken_by, rows_of
from .models import Expectation, RuleResult
from .obstacles import not_computed, obstacle, scope_of, strange_set
from .plain import plain, reason_of
from .rules import build
from .subject import Scope, Subject
from .suites import columns_of
from .times import times_for

if TYPE_CHECKING:
    import pandas as pd

# They report no observed value at this level of detail even when they ran.
WITHOUT_OBSERVED = "expect_column_distinct_values_"
RESULT_FORMAT = {"result_format": "SUMMARY", "partial_unexpected_count": COUNTED}
COMPLETE = {"result_format": "COMPLETE", "return_unexpected_index_query": False}


@dataclass(frozen=True)
class Judged:
    """A result and the rows that break the rule: the first ones, unless it is `complete`."""

    result: RuleResult
    rows: Sequence[int] = ()

    @property
    def complete(self) -> bool:
        return self.result.verdict != "failed" or (self.result.unexpected or 0) <= len(self.rows)


class Engine:
    """One ephemeral context with one asset: a new one for every frame keeps all of them in memory."""

    def __init__(self, _: Settings) -> None:
        import great_expectations as gx
        import tqdm  # type: ignore[import-untyped]

        tqdm.tqdm.monitor_interval = 0  # a validation starts a monitor thread otherwise
        logging.captureWarnings(False)
        context: Any = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = {"globally": False}
        asset = context.data_sources.add_pandas("frames").add_dataframe_asset("frame")
        self._batches = asset.add_batch_definition_whole_dataframe("whole")

    def validate(self, frame: pd.DataFrame, rules: Sequence[Any], complete: bool = False) -> dict[str, Any]:
        """The raw result of each rule, by its key: their order is not that of the suite, and some come twice.

        Args:
            complete: whether it names every row that breaks a rule, not only the first ones.
        """
        import great_expectations as gx

        suite = gx.ExpectationSuite(name="suite", expectations=list(rules))
        batch = self._batches.get_batch(batch_parameters={"dataframe": frame})
        results: list[Any] = batch.validate(suite, result_format=COMPLETE if complete else RESULT_FORMAT).results
        self._batches.get_batch(batch_parameters={"dataframe": frame.head(0)})  # lets go of the frame
        return {result.expectation_config.meta["key"]: result for result in results}


def run(engine: Engine, subject: Subject, rules: Sequence[Expectation], complete: bool = False) -> list[Judged]:
    """One result per rule, in the order of the suite."""
    results: dict[int, Judged] = {}
    waiting: dict[Scope, list[int]] = {}
    for position, rule in enumerate(rules):
        if reason := obstacle(subject, rule):
            results[position] = Judged(_result(position, rule, "not_evaluated", reason))
        else:
            waiting.setdefault(scope_of(rule), []).append(position)
    for scope, positions in waiting.items():
        chosen = {position: rules[position] for position in positions}
        results |= _evaluated(engine, subject, scope, chosen, complete)
    return [results[position] for position in range(len(rules))]


def _evaluated(
    engine: Engine, subject: Subject, scope: Scope, rules: Mapping[int, Expectation], complete: bool
) -> dict[int, Judged]:
    named = dict.fromkeys(column for rule in rules.values() for column in columns_of(rule))
    frame = subject.frame(scope, list(named) or subject.table.column_names[:1])
    built, results = list[Any](), dict[int, Judged]()
    for position, rule in rules.items():
        try:
            built.append(build(rule, times_for(rule, subject.kind(rule.kwargs.get("column"))), str(position)))
        except ToolFailure as failure:
            results[position] = Judged(_result(position, rule, "not_evaluated", failure.message))
    raw = engine.validate(frame, built, complete) if built else {}
    waiting = {position: rule for position, rule in rules.items() if position not in results}
    found = {position: raw.get(str(position)) for position in waiting}
    return results | {
        position: Judged(_judged(subject, position, rule, found[position]), _rows(found[position]))
        for position, rule in waiting.items()
    }


def _rows(raw: Any) -> list[int]:
    return [] if raw is None or reason_of(raw.exception_info) else rows_of(raw.result)


def _judged(subject: Subject, position: int, rule: Expectation, raw: Any) -> RuleResult:
    if raw is None:
        return _result(position, rule, "not_evaluated", "the library returned no result for it")
    if reason := reason_of(raw.exception_info):
        return _result(position, rule, "not_evaluated", not_computed(subject, rule, reason))
    found = raw.result
    if reason := _unusable(rule, found, bool(raw.success)):
        return _result(position, rule, "not_evaluated", reason).model_copy(update=_counts(found))
    verdict = "passed" if raw.success else "failed"
    strange = strange_set(subject, rule) if verdict == "failed" else ""
    result = _result(position, rule, verdict, strange or None)
    return result.model_copy(update={**_counts(found), **broken_by(subject, rule, found)})


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
