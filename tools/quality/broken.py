"""Rules in their plain form about each row: which rows they consider, and which of these break them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ..data.sandbox import literal
from .examples import COMPOUND, UNIQUE
from .models import Expectation
from .obstacles import ORDERED_PAIR
from .plan import NUMBERS, Found, Plan, bounds_of, column_of, double, kind_of, listed
from .regexes import for_re2
from .subject import Subject
from .suites import columns_of

EVERY = "true"
NUMPY = {"double": "float64", "float": "float32", "int64": "int64", "int32": "int32", "int16": "int16", "int8": "int8"}


@dataclass(frozen=True)
class Broken:
    """Conditions on rows; `unsure` counts those of which it cannot be said here whether they break the rule."""

    considered: str
    condition: str
    unsure: str = "0"
    missing_told: bool = True


def of_rows(subject: Subject, rule: Expectation, limit: int | None) -> Plan | None:
    """Named are the first `limit` rows that break the rule."""
    broken = BROKEN[rule.type](subject, rule)
    if broken is None or isinstance(broken, Plan):
        return broken
    where = f"{broken.considered} AND {broken.condition}"

    def concluded(considered: int, unexpected: int, unsure: int) -> Found | None:
        if unsure:
            return None
        rows = subject.scan.rows(where, limit) if unexpected else []
        return _counted(subject, rule, considered if broken.missing_told else None, unexpected, rows)

    counts = [f"count(*) FILTER ({condition})" for condition in (broken.considered, where)]
    return Plan([*counts, broken.unsure], concluded)


def unique(subject: Subject, rule: Expectation, limit: int | None) -> Plan | None:
    """Rows whose values occur several times."""
    names = columns_of(rule)
    if not all(kind_of(subject, name) or subject.is_large(name) for name in names):
        return None
    considered = _considered(subject, rule, names)

    def concluded(count: int) -> Found:
        unexpected, _ = subject.scan.repeats(names, considered)
        rows = subject.scan.repeating(names, considered, limit) if unexpected else []
        return _counted(subject, rule, count, unexpected, rows)

    return Plan([f"count(*) FILTER ({considered})"], concluded)


def _counted(subject: Subject, rule: Expectation, considered: int | None, unexpected: int, rows: list[int]) -> Found:
    """As `_format_map_output` of the library has it; rules about missing values consider all and tell no missing."""
    among, mostly = subject.count if considered is None else considered, rule.kwargs.get("mostly", 1.0)
    assert isinstance(mostly, int | float)
    missing = {} if considered is None else {"missing_count": subject.count - considered}
    return Found(
        not among or (float(among) - float(unexpected)) / float(among) >= mostly,
        {
            "element_count": subject.count,
            "unexpected_count": unexpected,
            "unexpected_percent": unexpected / among * 100 if among else None,
            "partial_unexpected_index_list": rows,
            **missing,
        },
    )


def _missing(subject: Subject, rule: Expectation) -> Broken:
    return Broken(EVERY, f"NOT {subject.scan.known(column_of(rule))}", missing_told=False)


def _present(subject: Subject, rule: Expectation) -> Broken:
    return Broken(EVERY, subject.scan.known(column_of(rule)), missing_told=False)


def _outside(subject: Subject, rule: Expectation) -> Broken | None:
    name = column_of(rule)
    column, kind = subject.scan.column(name), kind_of(subject, name)
    bounds = bounds_of(subject, rule, kind in NUMBERS)
    if kind in ("", "text") or not bounds:
        return None
    value = column if kind == "time" else f"{column}::DOUBLE"
    within = " AND ".join(f"{value} {bound.comparison} {bound.sql}" for bound in bounds)
    return Broken(subject.scan.known(name), f"NOT ({within})")


def _in_set(subject: Subject, rule: Expectation) -> Broken | None:
    name, members = column_of(rule), listed(rule.kwargs["value_set"])
    kind, texts = kind_of(subject, name), isinstance(members[0], str)
    if kind not in (("text",) if texts else NUMBERS):
        return None
    values = [literal(str(member)) if texts else double(member) for member in members]
    value = f"{subject.scan.column(name)}{'' if texts else '::DOUBLE'}"
    said = "IN" if "_not_be_in_" in rule.type else "NOT IN"
    return Broken(subject.scan.known(name), f"{value} {said} ({', '.join(values)})")


def _unlike(subject: Subject, rule: Expectation) -> Broken | None:
    name, pattern = column_of(rule), for_re2(str(rule.kwargs["regex"]))
    if kind_of(subject, name) != "text" or pattern is None or not subject.scan.reads(pattern.text):
        return None
    column = subject.scan.column(name)
    said = f"regexp_matches({column}, {literal(pattern.text)})"
    unsure = f"count(*) FILTER (strlen({column}) <> length({column}))" if pattern.ascii else "0"
    return Broken(subject.scan.known(name), said if "_not_match_" in rule.type else f"NOT {said}", unsure)


def _of_other_type(subject: Subject, rule: Expectation) -> Broken | Plan | None:
    """pandas has one type for all numbers of a column, while texts are objects that are looked at one by one."""
    name = column_of(rule)
    types = listed(rule.kwargs["type_list"] if "type_list" in rule.kwargs else [rule.kwargs["type_"]])
    kind = str(subject.kind(name))
    if kind == "string":
        return Broken(subject.scan.known(name), "false" if "str" in types else EVERY)
    if kind not in NUMPY or (kind.startswith("int") and subject.has_gaps(name)):
        return None
    found = Found(NUMPY[kind] in types, {"observed_value": NUMPY[kind]})
    return Plan([], lambda: found)


def _not_after(subject: Subject, rule: Expectation) -> Broken | None:
    names = columns_of(rule)
    kinds = {kind_of(subject, name) for name in names}
    same = len(kinds) == 1 and subject.kind(names[0]) == subject.kind(names[1])
    if "" in kinds or not (same or kinds <= set(NUMBERS)):
        return None
    first, second = (subject.scan.key(name) for name in names)
    comparison = ">=" if rule.kwargs.get("or_equal") else ">"
    return Broken(_considered(subject, rule, names), f"NOT coalesce(({first}) {comparison} ({second}), false)")


def _considered(subject: Subject, rule: Expectation, names: Sequence[str]) -> str:
    """The rows that no missing value makes a rule ignore; by default those count that have any value."""
    known, ignored = [subject.scan.known(name) for name in names], str(rule.kwargs.get("ignore_row_if", "all"))
    if ignored.startswith("ne"):
        return EVERY
    return f"({(' AND ' if ignored.startswith(('any', 'either')) else ' OR ').join(known)})"


BROKEN: Mapping[str, Callable[[Subject, Expectation], Broken | Plan | None]] = {
    "expect_column_values_to_not_be_null": _missing,
    "expect_column_values_to_be_null": _present,
    "expect_column_values_to_be_between": _outside,
    "expect_column_values_to_be_in_set": _in_set,
    "expect_column_values_to_not_be_in_set": _in_set,
    "expect_column_values_to_match_regex": _unlike,
    "expect_column_values_to_not_match_regex": _unlike,
    "expect_column_values_to_be_of_type": _of_other_type,
    "expect_column_values_to_be_in_type_list": _of_other_type,
    ORDERED_PAIR: _not_after,
}
REPEATED = (UNIQUE, COMPOUND)
