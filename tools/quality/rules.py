"""Check the rules of a suite one by one: Great Expectations itself drops what it does not understand."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import JsonValue

from ..errors import ToolFailure, unknown
from ..numbers import EXACT
from .forms import form_of
from .models import Expectation

# They run SQL, read other tables, or have no pandas implementation.
NOT_HERE = {
    "unexpected_rows_expectation",
    "expect_query_results_to_match_comparison",
    "expect_table_row_count_to_equal_other_table",
    "expect_column_values_to_match_like_pattern",
    "expect_column_values_to_match_like_pattern_list",
    "expect_column_values_to_not_match_like_pattern",
    "expect_column_values_to_not_match_like_pattern_list",
}
# Fields that are not part of a rule, or that the validation itself decides.
RESERVED = {
    "batch_id", "catch_exceptions", "condition_parser", "description", "id", "library_metadata", "meta", "notes",
    "rendered_content", "result_format", "row_condition", "severity", "windows",
}  # fmt: skip
# Without them these types accept anything, although the library does not require them.
NEEDED = {
    "expect_column_values_to_match_regex": ("regex",),
    "expect_column_values_to_be_in_type_list": ("type_list",),
    "expect_table_columns_to_match_set": ("column_set",),
    "expect_table_columns_to_match_ordered_list": ("column_list",),
    "expect_column_kl_divergence_to_be_less_than": ("partition_object", "threshold"),
}
REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
REGEX_KEYS = ("regex", "regex_list")
TYPE_KEYS = ("type_", "type_list")
PYTHON_TYPES = ("str", "int", "float", "bool", "bytes", "complex", "list", "dict")
COMMON_TYPES = (*PYTHON_TYPES, "int64", "int32", "float64", "float32", "object", "datetime64[ns]")
# What pydantic says of a value -> what it has to be.
SHAPES = {
    "type_error.str": "text", "type_error.integer": "a whole number", "type_error.float": "a number",
    "type_error.bool": "true or false", "value_error.strictbool": "true or false", "type_error.list": "a list",
    "type_error.set": "a list", "type_error.tuple": "a list", "type_error.dict": "",
}  # fmt: skip
# Objects of the library: the lists that they hold, in each of the ways that it takes, and an example.
LISTS_OF = {
    "quantile_ranges": ((("quantiles", "value_ranges"),), '{"quantiles": [0.5], "value_ranges": [[1, 3]]}'),
    "partition_object": ((("values", "weights"), ("bins", "weights")), '{"values": ["a", "b"], "weights": [0.3, 0.7]}'),
}
MAX_RULES = 200
MAX_CHARACTERS = 50_000


def checked(expectations: Sequence[Expectation]) -> list[Expectation]:
    """The same rules with their types spelled as registered.

    Raises:
        ToolFailure: no rules, too many, or one that would be dropped, misread or never fail.
    """
    if not expectations:
        raise ToolFailure("a suite without rules would pass on anything", "Pass at least one expectation.")
    if len(expectations) > MAX_RULES or _size(expectations) > MAX_CHARACTERS:
        raise ToolFailure(f"a suite holds up to {MAX_RULES} rules and {MAX_CHARACTERS} characters", "Make several.")
    rules: list[Expectation] = []
    for position, expectation in enumerate(expectations, 1):
        try:
            rule = _checked(expectation)
        except ToolFailure as failure:
            raise ToolFailure(f"rule {position}: {failure.message}", failure.hint) from failure
        if rule in rules:
            raise ToolFailure(f"rule {position} repeats rule {rules.index(rule) + 1}", "Leave one of them out.")
        rules.append(rule)
    return rules


def build(rule: Expectation, kwargs: dict[str, JsonValue], key: str) -> Any:
    """The Great Expectations object of a rule, marked with a key by which its result is found.

    Raises:
        ToolFailure: an argument is missing or has the wrong type.
    """
    from great_expectations.compatibility.pydantic import ValidationError  # pyright: ignore[reportPrivateImportUsage]
    from great_expectations.expectations.registry import get_expectation_impl

    make: Any = get_expectation_impl(rule.type)
    try:
        return make(**kwargs, meta={"key": key}, severity=rule.severity)
    except ValidationError as error:
        found = "; ".join(_misfits(error.errors()))
        raise ToolFailure(
            f"{rule.type} cannot take these kwargs: {found}", f"Its kwargs: {', '.join(fields_of(rule.type))}."
        ) from error


def _misfits(errors: Sequence[Mapping[str, Any]]) -> list[str]:
    """What each kwarg has to be. The library would take a parameter instead, which is refused here."""
    wanted = dict[str, list[str]]()
    for item in errors:
        if said := SHAPES.get(item["type"], f"right: {item['msg']}"):
            wanted.setdefault(".".join(map(str, item["loc"])), []).append(said)
    return [f"{name} has to be {' or '.join(dict.fromkeys(said))}" for name, said in list(wanted.items())[:4]]


def _checked(expectation: Expectation) -> Expectation:
    if (form := form_of(expectation)) is not None:
        _check_values(expectation, form)
        return expectation
    rule = expectation.model_copy(update={"type": _registered(expectation.type)})
    fields = fields_of(rule.type)
    for name in rule.kwargs:
        if name not in fields:
            hint = "Pass row_condition to validate_dataset." if name == "row_condition" else ""
            raise unknown(f"kwarg of {rule.type}", name, fields, hint)
    needed = NEEDED.get(rule.type, ())
    missing = [name for name in fields if (fields[name] or name in needed) and rule.kwargs.get(name) is None]
    if missing:
        raise ToolFailure(f"{rule.type} needs {', '.join(missing)}", f"Its kwargs: {', '.join(fields)}.")
    _check_values(rule, fields)
    build(rule, rule.kwargs, "check")
    return rule


def _check_values(rule: Expectation, fields: Mapping[str, bool]) -> None:
    for name, value in rule.kwargs.items():
        _check_value(name, value)
    _check_bounds(rule, fields)


def registered() -> list[str]:
    """The types that a suite may hold."""
    from great_expectations.expectations.registry import list_registered_expectation_implementations

    return [kind for kind in list_registered_expectation_implementations() if kind not in NOT_HERE]


def _registered(name: str) -> str:
    types = registered()
    # Documents of the 0.x line write ..._A_to_be_greater_than_B.
    spelled = name.lower()
    if spelled in NOT_HERE:
        raise ToolFailure(f"{name} needs a SQL database; datasets are files", "Use the other expectation types.")
    if spelled not in types:
        raise unknown("expectation type", name, types)
    return spelled


def fields_of(kind: str) -> dict[str, bool]:
    """The kwargs of a type and whether each is required."""
    from great_expectations.expectations.registry import get_expectation_impl

    registered: Any = get_expectation_impl(kind)
    fields = registered.__fields__
    return {name: bool(field.required) for name, field in fields.items() if name not in RESERVED}


def _check_value(name: str, value: JsonValue) -> None:
    for part in _parts(value):
        if isinstance(part, float) and not math.isfinite(part):
            raise ToolFailure(f"{name} is not a finite number", "Leave a bound out instead.")
        if isinstance(part, dict) and "$PARAMETER" in part:
            raise ToolFailure(f"{name} holds $PARAMETER, which is not evaluated here", "Write the value.")
        if name == "json_schema" and isinstance(part, dict) and any(key in part for key in REFERENCES):
            raise ToolFailure("json_schema holds a reference, which may read files and addresses", "Write it out.")
    if check := CHECKS.get(name):
        check(name, value)
    if name.endswith(("_set", "_list")) and not value:
        raise ToolFailure(f"{name} is empty", "List at least one entry.")
    if name == "mostly" and (isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1):
        raise ToolFailure(f"mostly is a share above 0 and up to 1, not {value!r}", "Pass one, e.g. 0.95.")


def _check_bounds(rule: Expectation, fields: Mapping[str, bool]) -> None:
    if not {"min_value", "max_value"} <= set(fields):
        return
    low, high = rule.kwargs.get("min_value"), rule.kwargs.get("max_value")
    if low is None and high is None and rule.type not in NEEDED:
        raise ToolFailure(
            f"{rule.type} needs min_value, max_value or both: without a bound it cannot fail", "Pass at least one."
        )
    for name, bound in (("min_value", low), ("max_value", high)):
        _check_bound(name, bound)
    if low is None or high is None:
        return
    if isinstance(low, str) is not isinstance(high, str):
        raise ToolFailure("min_value and max_value are a number and a time", "Pass two numbers or two times.")
    if low > str(high) if isinstance(low, str) else float(str(low)) > float(str(high)):
        raise ToolFailure(f"min_value {low} is above max_value {high}", "Swap them.")


def _check_bound(name: str, bound: JsonValue) -> None:
    if isinstance(bound, int) and not isinstance(bound, bool) and abs(bound) > EXACT:
        message = f"{name} {bound} is beyond the whole numbers that are compared exactly (2^53)"
        raise ToolFailure(message, "Leave that bound out.")
    if isinstance(bound, str) and not _is_time(bound):
        raise ToolFailure(f"{name} {bound!r} is text", "Pass a number, or a time as 2024-06-01T00:00:00.")
    if isinstance(bound, bool | list | dict):
        raise ToolFailure(f"{name} {bound!r} is neither a number nor a time", "Pass one of them.")


def _is_time(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return len(text) >= 10 and "-" in text


def _check_regexes(_name: str, value: JsonValue) -> None:
    for pattern in value if isinstance(value, list) else [value]:
        if not isinstance(pattern, str):
            raise ToolFailure(f"{pattern!r} is no text", "A regular expression is one.")
        try:
            re.compile(pattern)
        except re.error as error:
            message = f"{pattern!r} is not a regular expression: {error}"
            raise ToolFailure(message, "Write it as Python's re does; a backslash takes what is special.") from error


def _check_lists(name: str, value: JsonValue) -> None:
    """Lists of one length; of bins there is one edge more than weights."""
    ways, example = LISTS_OF[name]
    found = {key: part for key, part in value.items() if isinstance(part, list)} if isinstance(value, dict) else {}
    for first, second in ways:
        if {first, second} <= found.keys() and len(found[first]) == len(found[second]) + (first == "bins") > 0:
            return
    raise ToolFailure(f"{name} {json.dumps(value)[:80]} is none", f"Pass lists that fit each other, e.g. {example}.")


def _check_schema(_name: str, value: JsonValue) -> None:
    from jsonschema.exceptions import SchemaError
    from jsonschema.validators import validator_for

    schema: Any = value
    try:
        validator_for(schema).check_schema(schema)
    except SchemaError as error:
        place = "/".join(map(str, error.absolute_path)) or "its top"
        raise ToolFailure(f"json_schema is none at {place}: {error.message[:200]}", "Write JSON Schema.") from error


def _check_types(_name: str, value: JsonValue) -> None:
    """An unknown name would be reported as a failure of the data, or be passed over in a list."""
    for name in value if isinstance(value, list) else [value]:
        if name in COMMON_TYPES:
            continue
        from pandas.api.types import pandas_dtype

        try:
            pandas_dtype(str(name))
        except TypeError:
            raise unknown("type", name, COMMON_TYPES) from None


def _parts(value: JsonValue) -> Iterator[JsonValue]:
    yield value
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for item in inner:
        yield from _parts(item)


def _size(expectations: Sequence[Expectation]) -> int:
    return sum(len(json.dumps(expectation.kwargs)) for expectation in expectations)


CHECKS: dict[str, Callable[[str, JsonValue], None]] = {
    **dict.fromkeys(REGEX_KEYS, _check_regexes),
    **dict.fromkeys(TYPE_KEYS, _check_types),
    **dict.fromkeys(LISTS_OF, _check_lists),
    "json_schema": _check_schema,
}
