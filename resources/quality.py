"""Suites and validations as Markdown cards; nothing is judged again."""

from __future__ import annotations

import json
from collections.abc import Iterable

from ..tools.quality import client as quality
from ..tools.quality.failures import stored_validation, validations_kept
from ..tools.quality.models import Expectation, RuleResult, Suite, Validation
from ..tools.quality.plain import shortened
from ..tools.quality.suites import SuiteStore
from ..tools.runtime.work import Work
from .runs import cell

LISTED, COMPLETED = 100, 20


def suite_card(work: Work, suite: str) -> str:
    """The rules of a suite, built in, ours, or of a project that exists."""
    return _suite(quality.get_suite(work, f"suite:{suite}", "short", LISTED, ""))


def validation_card(work: Work, validation: str) -> str:
    """What each rule came to, those first that did not pass."""
    return _validation(stored_validation(work, f"validation:{validation}"))


def suite_names(work: Work, prefix: str) -> list[str]:
    """For completion."""
    return [name for name in SuiteStore(work.settings).names() if name.startswith(prefix)]


def recent_validations(work: Work, prefix: str) -> list[str]:
    """Ids that start with the prefix, newest first; for completion."""
    kept = sorted(validations_kept(work).items(), key=lambda each: each[1].stat().st_mtime_ns, reverse=True)
    return [name for name, _ in kept if name.startswith(prefix)][:COMPLETED]


def _suite(suite: Suite) -> str:
    lines = [f"| {cell(rule.type)} | {_kwargs(rule)} | {rule.severity} |" for rule in suite.expectations]
    parts = [
        f"# {cell(suite.suite)}",
        f"Version {suite.version}, {suite.rules} rules, made {cell(suite.created)}",
        *map(cell, suite.notes),
        _table("| rule | of | severity |", lines, suite.rules),
    ]
    return "\n\n".join(part for part in parts if part)


def _validation(found: Validation) -> str:
    results = sorted(found.results, key=lambda result: (result.verdict == "passed", result.rule))
    parts = [
        f"# {cell(found.validation)}",
        f"**{cell(found.dataset)}** by {cell(found.suite)}@{found.suite_version}: **{found.verdict}**",
        f"{found.passed} passed, {found.failed} failed, {found.not_evaluated} not evaluated; "
        f"{found.selected_rows} of {found.rows} rows",
        "\n".join(f"- {cell(note)}" for note in found.notes),
        _table("| rule | of | verdict | values | severity |", map(_result, results[:LISTED]), len(results)),
    ]
    return "\n\n".join(part for part in parts if part)


def _result(result: RuleResult) -> str:
    bad = "" if result.unexpected is None else f"{result.unexpected} of {result.elements}"
    said = f"{result.verdict}: {cell(result.reason)}" if result.reason else result.verdict
    return f"| {result.rule} {cell(result.type)} | {_kwargs(result)} | {said} | {bad} | {result.severity} |"


def _kwargs(rule: Expectation | RuleResult) -> str:
    return cell(json.dumps(shortened(rule.kwargs), ensure_ascii=False))


def _table(head: str, lines: Iterable[str], total: int) -> str:
    shown = list(lines)
    more = f"\n\n{total - len(shown)} more are left out." if total > len(shown) else ""
    return "\n".join([head, "|---" * (head.count("|") - 1) + "|", *shown]) + more
