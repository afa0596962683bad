"""Rules in their plain form about a table, or about a column as a whole."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping

from .models import Expectation
from .plan import NUMBERS, Found, Plan, bounds_of, column_of, kind_of, listed
from .subject import Subject

COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    ">": operator.gt,
    "<=": operator.le,
    "<": operator.lt,
}


def _exists(subject: Subject, rule: Expectation) -> Plan:
    return _known(Found(rule.kwargs["column"] in subject.columns))


def _same_columns(subject: Subject, rule: Expectation) -> Plan:
    """As `_validate_result` of the library's `expect_table_columns_to_match_set` has it."""
    wanted, there = {str(name) for name in listed(rule.kwargs["column_set"])}, set(subject.columns)
    apart = {"unexpected": sorted(there - wanted), "missing": sorted(wanted - there)}
    mismatched = {name: names for name, names in apart.items() if names}
    details = {"details": {"mismatched": mismatched}} if mismatched else {}
    broken = mismatched if rule.kwargs.get("exact_match", True) else apart["missing"]
    return _known(Found(not broken, {"observed_value": sorted(there), **details}))


def _rows_equal(subject: Subject, rule: Expectation) -> Plan:
    return _known(Found(subject.count == rule.kwargs["value"], {"observed_value": subject.count}))


def _rows_between(subject: Subject, rule: Expectation) -> Plan:
    return _known(_within(subject, rule, subject.count))


def _limit(subject: Subject, rule: Expectation) -> Plan | None:
    name = column_of(rule)
    if kind_of(subject, name) not in NUMBERS or bounds_of(subject, rule, numbers=True) is None:
        return None
    # pandas has whole numbers with gaps as real ones.
    real = kind_of(subject, name) == "real" or subject.has_gaps(name)
    least = "min" if rule.type == "expect_column_min_to_be_between" else "max"
    value = f"{least}({subject.scan.column(name)}) FILTER ({subject.scan.known(name)})"
    return Plan([value], lambda found: _within(subject, rule, float(found) if real else int(found)))


def _moment(subject: Subject, rule: Expectation) -> Plan | None:
    """Mean and standard deviation by pandas, of this column alone: their last digits hang on the order of the sum."""
    name = column_of(rule)
    if kind_of(subject, name) not in NUMBERS or bounds_of(subject, rule, numbers=True) is None:
        return None

    def concluded() -> Found:
        values = subject.frame("values", [name])[name]
        return _within(subject, rule, float(values.mean() if "mean" in rule.type else values.std()))

    return Plan([], concluded)


def _proportion(subject: Subject, rule: Expectation) -> Plan | None:
    name = column_of(rule)
    if not kind_of(subject, name) or bounds_of(subject, rule, numbers=True) is None:
        return None
    known = subject.facts[name].known
    return Plan([], lambda: _within(subject, rule, subject.scan.distinct(name) / known if known else 0))


def _within(subject: Subject, rule: Expectation, observed: float) -> Found:
    """As `_validate_metric_value_between` of the library's `Expectation` has it."""
    if observed != observed:
        return Found(False, {"observed_value": None})
    bounds = bounds_of(subject, rule, numbers=True) or []
    fits = all(COMPARE[bound.comparison](observed, float(bound.value)) for bound in bounds)
    return Found(fits, {"observed_value": observed})


def _known(found: Found) -> Plan:
    return Plan([], lambda: found)


Planner = Callable[[Subject, Expectation], Plan | None]
MEASURES: Mapping[str, Planner] = {
    "expect_column_to_exist": _exists,
    "expect_table_columns_to_match_set": _same_columns,
    "expect_table_row_count_to_equal": _rows_equal,
    "expect_table_row_count_to_be_between": _rows_between,
    "expect_column_min_to_be_between": _limit,
    "expect_column_max_to_be_between": _limit,
    "expect_column_mean_to_be_between": _moment,
    "expect_column_stdev_to_be_between": _moment,
    "expect_column_proportion_of_unique_values_to_be_between": _proportion,
}
