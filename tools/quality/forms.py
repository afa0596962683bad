"""Rules in their plain form, which need no library to be checked or evaluated."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from pydantic import JsonValue

from ..numbers import EXACT
from .models import Expectation

Test = Callable[[JsonValue], bool]
# What numpy and Great Expectations both call the types of our numbers.
NUMBER_TYPES = ("float64", "float32", "int64", "int32", "int16", "int8")
TIME = re.compile(r"\d{4}-\d\d-\d\d(?:T\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:\d\d)?)?")


def _text(value: JsonValue) -> bool:
    # A text of SQL ends with this character.
    return isinstance(value, str) and bool(value) and "\0" not in value


def _flag(value: JsonValue) -> bool:
    return isinstance(value, bool)


def _whole(value: JsonValue) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: JsonValue) -> bool:
    return isinstance(value, float) or (isinstance(value, int) and _whole(value) and abs(value) < EXACT)


def _bound(value: JsonValue) -> bool:
    return _number(value) or (isinstance(value, str) and TIME.fullmatch(value) is not None)


def _texts(value: JsonValue) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_text, value))


def _columns(value: JsonValue) -> bool:
    return isinstance(value, list) and _texts(value) and len(value) > 1


def _members(value: JsonValue) -> bool:
    return _texts(value) or (isinstance(value, list) and bool(value) and all(map(_number, value)))


def _type(value: JsonValue) -> bool:
    return value in ("str", *NUMBER_TYPES)


def _types(value: JsonValue) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_type, value))


def _one_of(*words: str) -> Test:
    return lambda value: value in words


MOSTLY: dict[str, Test] = {"mostly": _number}
VALUES: dict[str, Test] = {"column*": _text, **MOSTLY}
STRICT: dict[str, Test] = {"strict_min": _flag, "strict_max": _flag}
BOUNDS: dict[str, Test] = {"min_value": _bound, "max_value": _bound, **STRICT}
COUNTS: dict[str, Test] = {"min_value": _whole, "max_value": _whole, **STRICT}
PAIR: dict[str, Test] = {"column_A*": _text, "column_B*": _text, "or_equal": _flag, **MOSTLY}
# The kwargs of a rule with what each may be; those with a * are needed.
FORMS: Mapping[str, Mapping[str, Test]] = {
    "expect_column_to_exist": {"column*": _text},
    "expect_table_columns_to_match_set": {"column_set*": _texts, "exact_match": _flag},
    "expect_table_row_count_to_equal": {"value*": _whole},
    "expect_table_row_count_to_be_between": COUNTS,
    "expect_column_values_to_not_be_null": VALUES,
    "expect_column_values_to_be_null": VALUES,
    "expect_column_values_to_be_unique": VALUES,
    "expect_column_values_to_be_between": VALUES | BOUNDS,
    "expect_column_values_to_be_in_set": VALUES | {"value_set*": _members},
    "expect_column_values_to_not_be_in_set": VALUES | {"value_set*": _members},
    "expect_column_values_to_match_regex": VALUES | {"regex*": _text},
    "expect_column_values_to_not_match_regex": VALUES | {"regex*": _text},
    "expect_column_values_to_be_of_type": VALUES | {"type_*": _type},
    "expect_column_values_to_be_in_type_list": VALUES | {"type_list*": _types},
    "expect_column_min_to_be_between": {"column*": _text, **BOUNDS},
    "expect_column_max_to_be_between": {"column*": _text, **BOUNDS},
    "expect_column_mean_to_be_between": {"column*": _text, **BOUNDS},
    "expect_column_stdev_to_be_between": {"column*": _text, **BOUNDS},
    "expect_column_proportion_of_unique_values_to_be_between": {"column*": _text, **BOUNDS},
    "expect_compound_columns_to_be_unique": {
        "column_list*": _columns,
        "ignore_row_if": _one_of("all_values_are_missing", "any_value_is_missing", "never"),
        **MOSTLY,
    },
    "expect_column_pair_values_a_to_be_greater_than_b": PAIR
    | {"ignore_row_if": _one_of("both_values_are_missing", "either_value_is_missing", "neither")},
}


def form_of(rule: Expectation) -> Mapping[str, bool] | None:
    """The kwargs of a rule's type that is in its plain form, and whether each is needed; None for any other rule."""
    tests = FORMS.get(rule.type)
    if tests is None:
        return None
    named = {name.rstrip("*"): test for name, test in tests.items()}
    fields = {name.rstrip("*"): name.endswith("*") for name in tests}
    fits = all(name in named and named[name](value) for name, value in rule.kwargs.items())
    return fields if fits and all(rule.kwargs.get(name) is not None for name in fields if fields[name]) else None
