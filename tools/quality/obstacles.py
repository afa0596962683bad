"""What keeps one rule from being evaluated, so that the others keep their verdicts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..errors import unknown
from .models import Expectation
from .subject import Scope, Subject
from .suites import columns_of

if TYPE_CHECKING:
    import pyarrow as pa

ABOUT_COLUMNS = ("expect_table_column", "expect_column_to_exist", "expect_column_type_to_be")
# They look at the type of a value, or at how it is written: 1 must not have become 1.0.
ABOUT_WRITING = (
    "expect_column_value_lengths",
    "expect_column_values_to_match_regex",
    "expect_column_values_to_not_match_regex",
)
ABOUT_TYPES = (
    "expect_column_values_to_be_of_type",
    "expect_column_values_to_be_in_type_list",
    *ABOUT_WRITING,
)
ABOUT_SPREAD = ("expect_column_value_z_scores_to_be_less_than", "expect_column_values_to_not_be_outliers")
ABOUT_NULLS = (
    "expect_column_values_to_be_null",
    "expect_column_values_to_not_be_null",
    "expect_column_proportion_of_non_null_values_to_be_between",
)
ORDERED_PAIR = "expect_column_pair_values_a_to_be_greater_than_b"
# They compare the values of several columns with each other.
COMPARING = ("expect_column_pair_values_to_be_equal", ORDERED_PAIR, "expect_select_column_values_to_be_unique")
JSON_SCHEMA = "expect_column_values_to_match_json_schema"
OF_TEXT = (
    JSON_SCHEMA,
    "expect_column_values_to_match_strftime_format",
    "expect_column_values_to_be_dateutil_parseable",
)
NOT_IN_SET = "expect_column_values_to_not_be_in_set"
ISO_TIME = r"\d{4}-\d{2}-\d{2}(?:[T ].*)?"
ZONED = re.compile(r"(Z|[+-]\d{2}:?\d{2})$")


def scope_of(rule: Expectation) -> Scope:
    if rule.type.startswith(ABOUT_COLUMNS):
        return "schema"
    return "types" if rule.type.startswith(ABOUT_TYPES) else "values"


def obstacle(subject: Subject, rule: Expectation) -> str:
    """What keeps a rule from being evaluated at all; an empty text if nothing does."""
    scope, named = scope_of(rule), columns_of(rule)
    if scope == "schema" and not rule.type.startswith("expect_column_type_to_be"):
        return ""
    if strange := next((name for name in named if name not in subject.columns), None):
        return str(unknown("column", strange, subject.columns))
    if scope == "schema" or (rule.type.startswith("expect_table_row_count") and not subject.conditional):
        return ""
    if not subject.count:
        return "no row satisfies the condition" if subject.conditional else "the dataset has no rows"
    if rule.type in ABOUT_NULLS:
        return ""
    if len(named) == 1 and subject.all_missing(named[0]):
        return "every value of the column is missing"
    if twice := next((name for name in named if named.count(name) > 1), None):
        return f"{twice} would be compared with itself"
    return _of_kinds(subject, rule) or _of_values(subject, rule)


def not_computed(subject: Subject, rule: Expectation, said: str) -> str:
    """Why the library raised, in words about the columns; its own words only where nothing is odd about them."""
    families = {name: _family(kind) for name in columns_of(rule) if (kind := subject.kind(name))}
    holds = ", ".join(f"{name} holds {family}" for name, family in families.items())
    if rule.type == JSON_SCHEMA and set(families.values()) == {"text"}:
        return f"{holds} that is not all JSON: expect_column_values_to_be_json_parseable counts it"
    bounds = {name: rule.kwargs.get(name) for name in ("min_value", "max_value")}
    times = any(isinstance(bound, str) for bound in bounds.values())
    if set(families.values()) <= {"numbers"} and not times and rule.type not in OF_TEXT:
        return f"the library could not compute it: {said}"
    given = "".join(
        f" and {name} {'a time' if isinstance(bound, str) else 'a number'}"
        for name, bound in bounds.items()
        if bound is not None
    )
    return f"{holds}{given}, which it does not compute: query_dataset casts columns, list_expectations has others"


def strange_set(subject: Subject, rule: Expectation) -> str:
    """A set whose members can never equal a value of the column."""
    members, kind = rule.kwargs.get("value_set"), subject.kind(rule.kwargs.get("column"))
    if not isinstance(members, list) or kind is None:
        return ""
    texts, family = sum(isinstance(member, str) for member in members), _family(kind)
    if family != "numbers" and not texts:
        return f"the column holds {family}, the set none"
    return "the column holds numbers, the set only text" if family == "numbers" and texts == len(members) else ""


def _of_kinds(subject: Subject, rule: Expectation) -> str:
    """Values that have no order, no length, or nothing in common."""
    families = {name: _family(kind) for name in columns_of(rule) if (kind := subject.kind(name))}
    if nested := next((name for name, family in families.items() if family == "lists or objects"), None):
        return f"{nested} holds lists or objects, which are not compared"
    timely = next((f"{name} holds {family}" for name, family in families.items() if "time" in family), "")
    if timely and rule.type.startswith(ABOUT_WRITING):
        return f"{timely}, which are not text"
    if rule.type.startswith(COMPARING) and len(set(families.values()) - {"nothing"}) > 1:
        return "they cannot be compared: " + ", ".join(f"{name} holds {family}" for name, family in families.items())
    return _zoned_bounds(rule, families)


def _zoned_bounds(rule: Expectation, families: dict[str, str]) -> str:
    bounds = [str(rule.kwargs.get(name) or "") for name in ("min_value", "max_value")]
    members = rule.kwargs.get("value_set")
    given = [*bounds, *(str(member) for member in members)] if isinstance(members, list) else bounds
    if "times without a zone" in families.values() and any(ZONED.search(text) and ":" in text for text in given):
        return "the column holds times without a zone, the rule has one: leave it out, or load the column in UTC"
    return ""


def _of_values(subject: Subject, rule: Expectation) -> str:
    if rule.type in ABOUT_SPREAD and columns_of(rule)[0] in subject.infinite():
        return "the column holds infinite values, so its spread is not defined"
    if rule.type == NOT_IN_SET and (strange := strange_set(subject, rule)):
        return f"{strange}, so the rule would always pass"
    return _text_order(subject, rule) if rule.type == ORDERED_PAIR else ""


def _text_order(subject: Subject, rule: Expectation) -> str:
    import pyarrow as pa

    for name in columns_of(rule):
        if pa.types.is_string(subject.schema.field(name).type) and subject.scan.unlike(name, f"^{ISO_TIME}$"):
            return f"{name} is text that is not in ISO order, so greater would mean later in the alphabet"
    return ""


def _family(kind: pa.DataType) -> str:
    """What values of a type can be compared with."""
    import pyarrow as pa

    if pa.types.is_timestamp(kind):
        return "times with a zone" if kind.tz else "times without a zone"
    families = {
        "numbers": (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean),
        "times of day": (pa.types.is_time,),
        "lengths of time": (pa.types.is_duration,),
        "lists or objects": (pa.types.is_nested,),
        "nothing": (pa.types.is_null,),
    }
    return next((name for name, tests in families.items() if any(test(kind) for test in tests)), "text")
