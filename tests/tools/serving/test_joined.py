"""Rows of a request joined with what is known of their keys."""

from __future__ import annotations

import math

import pytest
from pydantic import JsonValue

from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.features.models import OnlineFeatures, OnlineRow, RowStatus
from mlops_mcp.tools.modeling.card import Feature
from mlops_mcp.tools.serving.joined import asked, joined
from mlops_mcp.tools.serving.models import Row
from mlops_mcp.tools.serving.rows import check


def online(values: dict[str, JsonValue], key: JsonValue = 7, status: RowStatus = "found") -> OnlineRow:
    views = {f"features:{name.partition('__')[0]}" for name in values} or {"features:people"}
    return OnlineRow(status=status, key={"person": key}, values=values, as_of=dict.fromkeys(sorted(views), None))


def features(**kinds: str) -> list[Feature]:
    return [Feature.model_validate({"name": name, "kind": kind}) for name, kind in kinds.items()]


def one(row: Row, values: dict[str, JsonValue], **kinds: str) -> Row:
    return joined([row], OnlineFeatures(rows=[online(values)]), features(**kinds))[0][0]


def test_what_is_known_of_the_key_stands_beside_what_the_request_knows() -> None:
    found = one({"person": 7, "amount": 5}, {"people__age": 30.0}, age="number", amount="number")
    assert found == {"age": 30.0, "amount": 5}


def test_a_value_of_the_request_stands_in_for_the_stored_one_even_if_it_is_missing() -> None:
    stored: dict[str, JsonValue] = {"people__age": 30.0}
    assert one({"person": 7, "age": 31}, stored, age="number") == {"age": 31}
    assert one({"person": 7, "age": None}, stored, age="number") == {"age": None}


def test_a_key_that_the_model_learned_from_stays() -> None:
    assert one({"person": 7}, {"people__age": 1}, person="number", age="number") == {"person": 7, "age": 1}


def test_stored_features_that_the_model_does_not_know_are_left_out_and_fields_of_the_request_are_not() -> None:
    assert one({"person": 7, "agge": 1}, {"people__age": 3, "people__size": 2}, age="number") == {"age": 3, "agge": 1}


def test_a_training_set_may_have_named_the_view_or_not() -> None:
    stored: dict[str, JsonValue] = {"people__age": 3, "towns__size": 2}
    assert one({"person": 7}, stored, people__age="number", size="number") == {"people__age": 3, "size": 2}


def test_a_name_that_two_views_share_says_nothing_alone() -> None:
    stored: dict[str, JsonValue] = {"people__size": 3, "towns__size": 2}
    assert one({"person": 7}, stored, size="number") == {}
    assert one({"person": 7}, stored, towns__size="number") == {"towns__size": 2}


@pytest.mark.parametrize(
    ("stored", "kind", "level"),
    [
        (7, "category", "7"),
        (7.5, "category", "7.5"),
        (True, "category", "true"),
        ("x", "category", "x"),
        (None, "category", None),
        (str(2**60), "number", float(2**60)),
        (None, "number", None),
        (False, "number", False),
    ],
)
def test_a_stored_value_is_what_it_was_in_training(stored: JsonValue, kind: str, level: JsonValue) -> None:
    found = one({"person": 7}, {"people__x": stored}, x=kind)
    assert found == {"x": level}
    assert type(found["x"]) is type(level)
    check([found], {"x": kind}, {})


def test_rows_whose_keys_are_not_known_are_counted_and_hold_nothing_of_them() -> None:
    states: list[RowStatus] = ["found", "unknown", "expired", "unknown", "partly"]
    rows = [online({"people__age": 1.0 if state == "found" else None}, state, state) for state in states]
    known = OnlineFeatures(rows=rows, notes=["old", "4 of 5 rows lack values: see status"])
    made, notes = joined([{"person": state} for state in states], known, features(age="number"))
    assert [row["age"] for row in made] == [1.0, None, None, None, None]
    assert notes == [
        "old",
        "2 of 5 rows have a key that the online store does not hold",
        "1 of 5 rows have values that are older than the ttl of their view",
        "1 of 5 rows have values of some views only",
    ]
    assert math.isnan(float(str(check(made, {"age": "number"}, {})[1]["age"])))


@pytest.mark.parametrize(
    ("rows", "read", "dataset"),
    [(None, None, ""), ([{"a": 1}], None, "loans"), (None, ["people"], "loans"), (None, ["people"], "")],
)
def test_what_does_not_go_together_is_refused(rows: list[Row] | None, read: list[str] | None, dataset: str) -> None:
    with pytest.raises(ToolFailure):
        asked(rows, read, dataset)
