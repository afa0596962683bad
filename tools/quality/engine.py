"""Run checked rules over a table with Great Expectations, and judge what comes back."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pydantic import JsonValue

from ...config.settings import Settings
from ..errors import unknown
from .models import Expectation, RuleResult
from .plain import plain, reason_of
from .rows import compute
from .rules import EXACT_INTEGER, build, times_for
from .suites import columns_of

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

Scope = Literal["schema", "types", "values"]
ABOUT_COLUMNS = ("expect_table_column", "expect_column_to_exist", "expect_column_type_to_be")
ABOUT_TYPES = ("expect_column_values_to_be_of_type", "expect_column_values_to_be_in_type_list")
ABOUT_NULLS = (
    "expect_column_values_to_be_null",
    "expect_column_values_to_not_be_null",
    "expect_column_proportion_of_non_null_values_to_be_between",
)
# They report no observed value at this level of detail even when they ran.
WITHOUT_OBSERVED = "expect_column_distinct_values_"
ORDERED_PAIR = "expect_column_pair_values_a_to_be_greater_than_b"
ISO_TIME = r"\d{4}-\d{2}-\d{2}(?:[T ].*)?"
EXAMPLES = 5


class Engine:
    """One ephemeral context with one asset: a new one for every frame keeps all of them in memory."""

    def __init__(self, _: Settings) -> None:
        import tqdm  # type: ignore[import-untyped]

        tqdm.tqdm.monitor_interval = 0  # a validation starts a monitor thread otherwise
        import great_expectations as gx

        logging.captureWarnings(False)
        context: Any = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = {"globally": False}
        asset = context.data_sources.add_pandas("frames").add_dataframe_asset("frame")
        self._batches = asset.add_batch_definition_whole_dataframe("whole")

    def validate(self, frame: pd.DataFrame, rules: Sequence[Any]) -> dict[str, Any]:
        """The raw result of each rule, by its key: their order is not that of the suite, and some come twice."""
        import great_expectations as gx

        suite = gx.ExpectationSuite(name="suite", expectations=list(rules))
        batch = self._batches.get_batch(batch_parameters={"dataframe": frame})
        results: list[Any] = batch.validate(suite, result_format="SUMMARY").results
        self._batches.get_batch(batch_parameters={"dataframe": frame.head(0)})  # lets go of the frame
        return {result.expectation_config.meta["key"]: result for result in results}


@dataclass(frozen=True)
class Subject:
    """The selected rows with the columns that rules name, and the schema of the whole dataset."""

    table: pa.Table
    schema: pa.Schema
    conditional: bool

    @property
    def columns(self) -> list[str]:
        return list(self.schema.names)

    def frame(self, scope: Scope, columns: Sequence[str]) -> pd.DataFrame:
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
        return frame


def run(engine: Engine, subject: Subject, rules: Sequence[Expectation]) -> list[RuleResult]:
    """One result per rule, in the order of the suite."""
    results: dict[int, RuleResult] = {}
    waiting: dict[Scope, list[int]] = {}
    for position, rule in enumerate(rules):
        if obstacle := _obstacle(subject, rule):
            results[position] = _result(position, rule, "not_evaluated", obstacle)
        else:
            waiting.setdefault(_scope(rule), []).append(position)
    for scope, positions in waiting.items():
        chosen = {position: rules[position] for position in positions}
        results |= _evaluated(engine, subject, scope, chosen)
    return [results[position] for position in range(len(rules))]


def _evaluated(
    engine: Engine, subject: Subject, scope: Scope, rules: Mapping[int, Expectation]
) -> dict[int, RuleResult]:
    named = dict.fromkeys(column for rule in rules.values() for column in columns_of(rule))
    frame = subject.frame(scope, list(named) or subject.table.column_names[:1])
    built = [build(rule, times_for(rule.kwargs, _zone(subject, rule)), str(key)) for key, rule in rules.items()]
    raw = engine.validate(frame, built)
    return {position: _judged(position, rule, raw.get(str(position))) for position, rule in rules.items()}


def _judged(position: int, rule: Expectation, raw: Any) -> RuleResult:
    if raw is None:
        return _result(position, rule, "not_evaluated", "the library returned no result for it")
    if reason := reason_of(raw.exception_info):
        return _result(position, rule, "not_evaluated", reason)
    found = raw.result
    result = _result(position, rule, "passed" if raw.success else "failed").model_copy(
        update={
            "observed": plain(found.get("observed_value")),
            "elements": found.get("element_count"),
            "missing": found.get("missing_count"),
            "unexpected": found.get("unexpected_count"),
            "unexpected_percent": plain(found.get("unexpected_percent")),
            "examples": _examples(found),
        }
    )
    obstacle = _unusable(rule, found, bool(raw.success))
    return result.model_copy(update={"verdict": "not_evaluated", "reason": obstacle}) if obstacle else result


def _examples(found: Mapping[str, Any]) -> list[JsonValue] | None:
    values = found.get("partial_unexpected_list") or found.get("partial_missing_list") or _mismatched(found)
    return [plain(value) for value in list(values)[:EXAMPLES]] or None


def _mismatched(found: Mapping[str, Any]) -> list[Any]:
    details = (found.get("details") or {}).get("mismatched") or []
    return [details] if isinstance(details, dict) else details


def _unusable(rule: Expectation, found: Mapping[str, Any], success: bool) -> str:
    """Why a result that came without an exception says nothing."""
    elements = found.get("element_count")
    if elements is not None and elements in (0, found.get("missing_count")):
        return "every row is left out because values are missing"
    if "observed_value" not in found or rule.type.startswith(WITHOUT_OBSERVED):
        return ""
    observed = found["observed_value"]
    numbers = observed["values"] if isinstance(observed, dict) and "values" in observed else [observed]
    if any(number is None or number != number for number in numbers):
        return "no value can be computed from these rows"
    if success and any(isinstance(number, float) and math.isinf(number) for number in numbers):
        return "the computed value is infinite, which satisfies any bound"
    return ""


def _obstacle(subject: Subject, rule: Expectation) -> str:
    """What keeps a rule from being evaluated at all; an empty text if nothing does."""
    if _scope(rule) == "schema" and not rule.type.startswith("expect_column_type_to_be"):
        return ""
    for column in columns_of(rule):
        if column not in subject.columns:
            return str(unknown("column", column, subject.columns))
    if _scope(rule) == "schema" or (rule.type.startswith("expect_table_row_count") and not subject.conditional):
        return ""
    if not subject.table.num_rows:
        return "no row satisfies the condition" if subject.conditional else "the dataset has no rows"
    if rule.type not in ABOUT_NULLS and len(columns_of(rule)) == 1 and _all_missing(subject, columns_of(rule)[0]):
        return "every value of the column is missing"
    return _text_order(subject, rule) if rule.type == ORDERED_PAIR else ""


def _text_order(subject: Subject, rule: Expectation) -> str:
    import pyarrow as pa

    pc = compute()
    for name in columns_of(rule):
        column = subject.table.column(name)
        if pa.types.is_string(column.type):
            iso = pc.all(pc.match_substring_regex(column, f"^{ISO_TIME}$")).as_py()
            if iso is False:
                return f"{name} is text that is not in ISO order, so greater would mean later in the alphabet"
    return ""


def _all_missing(subject: Subject, name: str) -> bool:
    pc = compute()
    return bool(pc.all(pc.is_null(subject.table.column(name), nan_is_null=True)).as_py())


def _is_large(values: pa.ChunkedArray) -> bool:
    pc = compute()
    extremes = pc.min_max(values).as_py()
    return any(value is not None and abs(value) > EXACT_INTEGER for value in extremes.values())


def _scope(rule: Expectation) -> Scope:
    if rule.type.startswith(ABOUT_COLUMNS):
        return "schema"
    return "types" if rule.type in ABOUT_TYPES else "values"


def _zone(subject: Subject, rule: Expectation) -> str | None:
    kinds = [subject.table.schema.field(name).type for name in columns_of(rule) if name in subject.columns]
    return next((getattr(kind, "tz", None) for kind in kinds), None)


def _result(position: int, rule: Expectation, verdict: Any, reason: str | None = None) -> RuleResult:
    return RuleResult(
        rule=position + 1,
        type=rule.type,
        kwargs=rule.kwargs,
        severity=rule.severity,
        verdict=verdict,
        reason=reason,
    )
