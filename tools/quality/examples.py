"""The values that break a rule: each once, with how often and where it first stands."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import JsonValue

from .models import Example, Expectation
from .plain import plain
from .subject import Subject
from .suites import columns_of

# The library names this many failing rows; more only make it slow.
COUNTED = 10_000
EXAMPLES = 5
UNIQUE = "expect_column_values_to_be_unique"
COMPOUND = "expect_compound_columns_to_be_unique"


def broken_by(subject: Subject, rule: Expectation, found: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a result that tell which values break the rule, from what the library found."""
    rows = rows_of(found)
    if not rows:
        values = found.get("partial_unexpected_list") or found.get("partial_missing_list") or _mismatched(found)
        shown = [plain(value) for value in list(values)[:EXAMPLES]]
        more = max(len(values) - len(shown), 0) or None
        return {"examples": [Example(value=value) for value in shown] or None, "more_values": more}
    most = bad_values(subject, rule, rows)
    total = found.get("unexpected_count") or 0
    return {
        "examples": most[:EXAMPLES],
        "more_values": max(len(most) - EXAMPLES, 0) or None,
        "counted": len(rows) if total > len(rows) else None,
        "surplus": _surplus(subject, rule, total),
    }


def rows_of(found: Mapping[str, Any]) -> list[int]:
    """The numbers of the rows that the library names, all of them if it was asked for a complete result."""
    return [int(row) for row in found.get("unexpected_index_list") or found.get("partial_unexpected_index_list") or []]


def bad_values(subject: Subject, rule: Expectation, rows: Sequence[int]) -> list[Example]:
    """The distinct values in these rows, the most frequent first."""
    return sorted(_distinct(subject, rule, rows), key=lambda example: -(example.count or 0))


def _distinct(subject: Subject, rule: Expectation, rows: Sequence[int]) -> list[Example]:
    """One example for each value, in the order of their first rows."""
    seen = dict[str, Example]()
    for row, record in zip(rows, subject.at(rows, columns_of(rule)), strict=True):
        value = _value(rule, record)
        example = seen.setdefault(json.dumps(value), Example(value=value, count=0, row=row))
        example.count = (example.count or 0) + 1
    return list(seen.values())


def _value(rule: Expectation, record: Mapping[str, object]) -> JsonValue:
    """A value alone, a pair as a list, and more by their columns."""
    values = [plain(value) for value in record.values()]
    if "column" in rule.kwargs:
        return values[0]
    return values if "column_A" in rule.kwargs else plain(record)


def _surplus(subject: Subject, rule: Expectation, unexpected: int) -> int | None:
    """How many rows are left over when each value that occurs several times is kept once."""
    if rule.type not in (UNIQUE, COMPOUND):
        return None
    names = columns_of(rule)
    known = " AND ".join(subject.scan.known(name) for name in names) if rule.type == UNIQUE else "true"
    repeating, values = subject.scan.repeats(names, known)
    # Rows with missing values are judged by an option of the rule; where that matters, nothing is said.
    return repeating - values if repeating == unexpected else None


def _mismatched(found: Mapping[str, Any]) -> list[Any]:
    details = (found.get("details") or {}).get("mismatched") or []
    return [details] if isinstance(details, dict) else details
