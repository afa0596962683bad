"""The E2I suites that every installation has: health-care professionals, their calls, and a target."""

from __future__ import annotations

from .models import Expectation

BRANDS = ["Remibrutinib", "Fabhalta", "Kisqali"]
NUMBERS = ["float64", "float32", "int64", "int32", "int16", "int8"]


def suite_of(task: str) -> list[Expectation] | None:
    """The rules for a problem type, None when there are none."""
    target = {"classification": _CLASSES, "regression": _QUANTITY}.get(task)
    if target is None:
        return None
    validity, distribution = target
    return [*_COMPLETE, *_VALID, *validity, *_CONSISTENT, *distribution]


def _rule(kind: str, **kwargs: object) -> Expectation:
    return Expectation.model_validate({"type": kind, "kwargs": kwargs})


_COMPLETE = [
    _rule("expect_column_values_to_not_be_null", column="hcp_id"),
    _rule("expect_column_values_to_not_be_null", column="brand"),
    _rule("expect_column_values_to_not_be_null", column="target"),
]
_VALID = [
    _rule("expect_column_values_to_be_in_set", column="brand", value_set=BRANDS),
    _rule("expect_column_values_to_be_between", column="call_frequency", min_value=0, max_value=100),
]
_CONSISTENT = [
    _rule("expect_compound_columns_to_be_unique", column_list=["hcp_id", "observation_date"]),
    _rule(
        "expect_column_pair_values_a_to_be_greater_than_b",
        column_A="last_call_date",
        column_B="first_call_date",
        or_equal=True,
        ignore_row_if="either_value_is_missing",
    ),
    _rule("expect_column_proportion_of_unique_values_to_be_between", column="hcp_id", min_value=0.01, max_value=1.0),
]
_Target = tuple[list[Expectation], list[Expectation]]
_CLASSES: _Target = ([_rule("expect_column_values_to_be_in_set", column="target", value_set=[0, 1])], [])
_QUANTITY: _Target = (
    [_rule("expect_column_values_to_be_in_type_list", column="target", type_list=NUMBERS)],
    [
        # A constant target, or one that holds infinity, has no spread that a regression could explain.
        _rule("expect_column_stdev_to_be_between", column="target", min_value=0, strict_min=True),
    ],
)
