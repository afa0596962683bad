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
from .rules import EXACT_INTEGER, build
from .suites import columns_of
from .times import times_for

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

Scope = Literal["schema", "types", "values"]
ABOUT_COLUMNS = ("expect_table_column", "expect_column_to_exist", "expect_column_type_to_be")
# They look at the type of a value, or at how it is written: 1 must not have become 1.0.
ABOUT_TYPES = (
    "expect_column_values_to_be_of_type",
    "expect_column_values_to_be_in_type_list",
    "expect_column_value_lengths",
    "expect_column_values_to_match_regex",
    "expect_column_values_to_not_match_regex",
)
ABOUT_SPREAD = ("expect_column_value_z_scores_to_be_less_than", "expect_column_values_to_not_be_outliers")
ABOUT_NULLS = (
    "expect_column_values_to_be_null",
    "expect_column_values_to_not_be_null",
    "expect_column_proportion_of_non_null_values_to_be_between",
)
# They report no observed value at this level of detail even when they ran.
WITHOUT_OBSERVED = "expect_column_distinct_values_"
ORDERED_PAIR = "expect_column_pair_values_a_to_be_greater_than_b"
NOT_IN_SET = "expect_column_values_to_not_be_in_set"
ISO_TIME = r"\d{4}-\d{2}-\d{2}(?:[T ].*)?"
EXAMPLES = 5


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

    def infinite(self) -> dict[str, int]:
        """How many infinite values a column holds; they satisfy a one-sided bound."""
        import pyarrow as pa

        pc = compute()
        floats = [field.name for field in self.table.schema if pa.types.is_floating(field.type)]
        counts = {name: pc.sum(pc.is_inf(self.table.column(name))).as_py() or 0 for name in floats}
        return {name: count for name, count in counts.items() if count}

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
    built = [build(rule, times_for(rule, _kind(subject, rule)), str(key)) for key, rule in rules.items()]
    raw = engine.validate(frame, built)
    judged = {position: _judged(position, rule, raw.get(str(position))) for position, rule in rules.items()}
    return {position: _explained(subject, rules[position], result) for position, result in judged.items()}


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
            "unexpected_percent": _percent(found.get("unexpected_percent")),
            "examples": _examples(found),
        }
    )
    obstacle = _unusable(rule, found, bool(raw.success))
    return result.model_copy(update={"verdict": "not_evaluated", "reason": obstacle}) if obstacle else result


def _explained(subject: Subject, rule: Expectation, result: RuleResult) -> RuleResult:
    strange = _strange_set(subject, rule) if result.verdict == "failed" else ""
    return result.model_copy(update={"reason": strange}) if strange else result


def _percent(value: float | None) -> float | None:
    return round(value, 4) if value is not None else None


def _examples(found: Mapping[str, Any]) -> list[JsonValue] | None:
    values = found.get("partial_unexpected_list") or found.get("partial_missing_list") or _mismatched(found)
    shown = [plain(value) for value in list(values)[:EXAMPLES]]
    return shown if any(value is not None for value in shown) else None


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
    if rule.type in ABOUT_SPREAD and columns_of(rule)[0] in subject.infinite():
        return "the column holds infinite values, so its spread is not defined"
    if rule.type == NOT_IN_SET and (strange := _strange_set(subject, rule)):
        return f"{strange}, so the rule would always pass"
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
    return "types" if rule.type.startswith(ABOUT_TYPES) else "values"


def _kind(subject: Subject, rule: Expectation) -> pa.DataType | None:
    name = rule.kwargs.get("column")
    return subject.schema.field(name).type if name in subject.columns else None


def _strange_set(subject: Subject, rule: Expectation) -> str:
    """A set whose members can never equal a value of the column."""
    import pyarrow as pa

    members, kind = rule.kwargs.get("value_set"), _kind(subject, rule)
    if not isinstance(members, list) or kind is None:
        return ""
    texts = sum(isinstance(member, str) for member in members)
    if pa.types.is_string(kind) and not texts:
        return "the column holds text, the set none"
    numeric = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
    return "the column holds numbers, the set only text" if numeric and texts == len(members) else ""


def _result(position: int, rule: Expectation, verdict: Any, reason: str | None = None) -> RuleResult:
    return RuleResult(
        rule=position + 1,
        type=rule.type,
        kwargs=rule.kwargs,
        severity=rule.severity,
        verdict=verdict,
        reason=reason,
    )
