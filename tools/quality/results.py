"""Validations of ours in the form of the library's own results, for its site and for a team's project."""

from __future__ import annotations

import contextlib
import html
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

from pydantic import JsonValue

from .models import RuleResult, Validation

DATASOURCE = "mlops_mcp"
# Under which a result stands where the library names the batch that it judged.
BATCH = "dataset"
# The counts of a rule, by the library's names.
COUNTS = {"elements": "element_count", "missing": "missing_count", "unexpected": "unexpected_count"}


def as_result(validation: Validation, when: datetime) -> dict[str, JsonValue]:
    """What `ExpectationSuiteValidationResult.to_json_dict` would say (great_expectations.core)."""
    evaluated = validation.passed + validation.failed + validation.not_evaluated
    meta: dict[str, JsonValue] = {
        "run_id": {"run_name": run_name(validation), "run_time": when.astimezone(UTC).isoformat()},
        "active_batch_definition": {
            "datasource_name": DATASOURCE,
            "data_connector_name": "",
            "data_asset_name": validation.dataset,
            "batch_identifiers": {},
        },
        "validation_id": validation.validation,
    }
    with contextlib.suppress(PackageNotFoundError):
        meta["great_expectations_version"] = version("great_expectations")
    return {
        "success": validation.success,
        "results": [_rule(each) for each in validation.results],
        "suite_name": suite_of(validation),
        "suite_parameters": {},
        "statistics": {
            "evaluated_expectations": evaluated,
            "successful_expectations": validation.passed,
            "unsuccessful_expectations": evaluated - validation.passed,
            "success_percent": 100 * validation.passed / evaluated if evaluated else None,
        },
        "meta": meta,
    }


def run_name(validation: Validation) -> str:
    return validation.validation.partition(":")[2]


def suite_of(validation: Validation) -> str:
    return validation.suite.partition(":")[2]


def escaped(value: JsonValue) -> JsonValue:
    """Texts of data as the library's pages show them: they stand there as they are."""
    if isinstance(value, str):
        return html.escape(value)
    if isinstance(value, list):
        return [escaped(each) for each in value]
    return {name: escaped(each) for name, each in value.items()} if isinstance(value, dict) else value


def _rule(found: RuleResult) -> dict[str, JsonValue]:
    raised = found.verdict == "not_evaluated"
    return {
        "success": found.verdict == "passed",
        "expectation_config": {
            "type": found.type,
            "kwargs": {**found.kwargs},
            "meta": {"rule": found.rule},
            "severity": found.severity,
        },
        "result": _figures(found),
        "meta": {},
        "exception_info": {
            "raised_exception": raised,
            "exception_message": found.reason if raised else None,
            # The library's pages want a text.
            "exception_traceback": "" if raised else None,
        },
    }


def _figures(found: RuleResult) -> dict[str, JsonValue]:
    figures: dict[str, JsonValue] = {
        theirs: given for ours, theirs in COUNTS.items() if (given := getattr(found, ours)) is not None
    }
    if found.unexpected_percent is not None:
        figures["unexpected_percent"] = found.unexpected_percent
    if found.observed is not None:
        figures["observed_value"] = found.observed
    if found.examples:
        figures["partial_unexpected_list"] = [each.value for each in found.examples]
        figures["partial_unexpected_counts"] = [
            {"value": each.value, "count": each.count} for each in found.examples if each.count is not None
        ]
    return figures
