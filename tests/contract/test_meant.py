"""What clients send for what they do not pass, over all tools: null, an empty text, and numbers and lists as text."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from mcp import Client
from pydantic_core import to_jsonable_python

from mlops_mcp.server.arguments import CallArguments, admitted
from mlops_mcp.tools import catalog, wire
from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.runtime.models import Budget

TOOLS = {spec.name: spec for toolset in catalog.load_all().values() for spec in toolset.tools}
INPUTS = {name: wire.shipped(name)["inputSchema"] for name in TOOLS}
Schema = dict[str, Any]

every_tool = pytest.mark.parametrize("name", TOOLS)
registered = cache(lambda name: wire.registered(TOOLS[name]))


def sample(schema: Schema) -> Any:
    """Something that fits a schema."""
    if "anyOf" in schema:
        return sample(schema["anyOf"][0])
    match schema["type"]:
        case "array":
            return [sample(schema["items"])]
        case "object":
            return {name: sample(schema["properties"][name]) for name in schema.get("required", [])}
        case "string":
            return schema.get("enum", ["x"])[0]
        case "boolean":
            return True
        case kind:
            bottom = schema.get("minimum", 0)
            return bottom + 1 if kind == "integer" else bottom + (schema.get("maximum", bottom + 1) - bottom) / 4


def required(name: str) -> Schema:
    wanted = INPUTS[name].get("required", [])
    return {argument: sample(INPUTS[name]["properties"][argument]) for argument in wanted}


def optional(name: str) -> Iterator[tuple[str, Schema]]:
    return (
        (key, each) for key, each in INPUTS[name]["properties"].items() if key not in INPUTS[name].get("required", [])
    )


def taken(name: str, arguments: Schema) -> tuple[Any, CallArguments]:
    """The validated arguments of the function, and what is for the server, without what the function was given."""
    metadata = registered(name).fn_metadata
    given = admitted(name, INPUTS[name]["properties"], metadata.arg_model, arguments)
    return to_jsonable_python(metadata.validate_arguments(given.own)), replace(given, own={})


@every_tool
@pytest.mark.parametrize("nothing", [None, ""], ids=["null", "empty"])
def test_what_is_sent_as_nothing_is_the_same_call_as_what_is_left_out(name: str, nothing: object) -> None:
    assert taken(name, required(name) | {key: nothing for key, _ in optional(name)}) == taken(name, required(name))


def test_a_default_that_is_spelt_out_or_another_wait_is_the_same_call_and_another_digit_is_another() -> None:
    def given(**more: object) -> CallArguments:
        arguments = required("train_model") | more
        return admitted("train_model", INPUTS["train_model"]["properties"], model, arguments)

    model = registered("train_model").fn_metadata.arg_model
    assert given() == given(task="auto", seed=0, wait_s=7)
    others = ({"seed": 1}, {"detail": "full"}, {"budget_s": 9}, {"idempotency_key": "k"})
    assert [more for more in others if given(**more) == given()] == []
    assert given(params={"a": 1, "b": 2}) == given(params={"b": 2, "a": 1})


@every_tool
def test_null_inside_of_an_argument_is_absent_there_too(name: str) -> None:
    for argument, schema in INPUTS[name]["properties"].items():
        items = schema.get("items", schema)
        if "properties" in items:
            without = sample(items)
            nulls = without | {key: None for key in items["properties"] if key not in items.get("required", [])}
            shape: Callable[[Any], Any] = (lambda value: [value]) if "items" in schema else (lambda value: value)
            call = required(name)
            assert taken(name, call | {argument: shape(nulls)}) == taken(name, call | {argument: shape(without)})


async def test_null_for_what_is_needed_is_answered_as_if_it_were_missing(client: Client) -> None:
    for name in TOOLS:
        if needed := required(name):
            nulls, missing = [await client.call_tool(name, given) for given in (dict.fromkeys(needed), {})]
            assert nulls.is_error
            assert nulls.content == missing.content


@every_tool
def test_numbers_truth_values_lists_and_objects_may_be_sent_as_text(name: str) -> None:
    for argument, schema in INPUTS[name]["properties"].items():
        if schema.get("type") not in (None, "string"):
            value = 2048 if argument == wire.MEGABYTES else sample(schema)
            as_text = required(name) | {argument: json.dumps(value)}
            assert taken(name, as_text) == taken(name, required(name) | {argument: value}), argument


@every_tool
def test_a_whole_number_may_be_sent_with_a_point(name: str) -> None:
    for argument, schema in INPUTS[name]["properties"].items():
        if schema.get("type") == "integer":
            number = 2048 if argument == wire.MEGABYTES else sample(schema)
            for spelt in (float(number), f"{number}.0"):
                given = required(name) | {argument: spelt}
                assert taken(name, given) == taken(name, required(name) | {argument: number}), argument


@every_tool
def test_a_number_that_is_none_is_refused_by_name(name: str) -> None:
    for argument, schema in INPUTS[name]["properties"].items():
        if schema.get("type") in ("number", "integer"):
            for number in (float("nan"), float("inf"), "NaN", "-inf"):
                with pytest.raises((ToolFailure, ValueError), match=argument):
                    taken(name, required(name) | {argument: number})


@every_tool
def test_text_that_is_no_list_or_object_is_refused_with_what_to_pass(name: str) -> None:
    for argument, schema in INPUTS[name]["properties"].items():
        if schema.get("type") in ("array", "object"):
            with pytest.raises(ToolFailure, match=rf"{argument}: Input should be an? (list|object).*Pass"):
                taken(name, required(name) | {argument: "a, b"})


@every_tool
def test_an_unknown_field_inside_of_an_argument_is_refused_with_the_near_ones(name: str) -> None:
    for argument, schema in INPUTS[name]["properties"].items():
        items = schema.get("items", schema)
        if "properties" in items:
            near = next(iter(items["properties"]))
            wrong = sample(items) | {f"{near}x": 1}
            with pytest.raises(ToolFailure, match=near):
                taken(name, required(name) | {argument: [wrong] if "items" in schema else wrong})


@pytest.mark.parametrize(
    ("given", "budget"),
    [
        ({"budget_s": 0, "budget_mb": 0}, Budget()),
        ({"budget_s": "0", "budget_mb": ""}, Budget()),
        ({"budget_s": None, "budget_mb": None}, Budget()),
        ({"budget_s": "60", "budget_mb": 2048.0}, Budget(seconds=60, megabytes=2048)),
        ({"budget_s": 1.5, "budget_mb": "2048"}, Budget(seconds=1.5, megabytes=2048)),
    ],
)
def test_a_budget_of_zero_is_none_and_text_is_a_number(given: Schema, budget: Budget) -> None:
    assert taken("train_model", required("train_model") | given)[1].budget == budget


@pytest.mark.parametrize("given", [{"budget_s": -1}, {"budget_mb": 63}, {"budget_mb": 2048.5}, {"budget_s": "soon"}])
def test_a_budget_that_no_work_fits_in_is_refused_by_name(given: Schema) -> None:
    with pytest.raises(ToolFailure, match=next(iter(given))):
        taken("train_model", required("train_model") | given)


def test_null_and_empty_text_in_data_stay() -> None:
    rows = [{"a": None, "b": ""}]
    own = taken("predict", {"endpoint": "e", "rows": rows})[0]
    assert own["rows"] == rows
    assert taken("train_model", required("train_model") | {"params": {"max_depth": None}})[0]["params"] == {
        "max_depth": None
    }
    rule = {"type": "expect_column_to_exist", "kwargs": {"column": None}}
    assert (
        taken("create_suite", {"name": "s", "expectations": [rule]})[0]["expectations"][0]["kwargs"] == rule["kwargs"]
    )


def test_an_empty_text_is_a_value_to_compare_with() -> None:
    condition = {"column": "city", "operator": "==", "value": ""}
    own = taken("validate_dataset", required("validate_dataset") | {"row_condition": [condition]})[0]
    assert own["row_condition"] == [condition]


def test_fields_that_the_schema_does_not_list_follow_the_same_rule() -> None:
    options = {"separator": None, "header": "", "skip_rows": "2", "null_values": '["", "NA"]'}
    own = taken("load_dataset", {"path": "a.csv", "options": json.dumps(options)})[0]
    assert own == taken("load_dataset", {"path": "a.csv", "options": {"skip_rows": 2, "null_values": ["", "NA"]}})[0]
    with pytest.raises(ToolFailure, match=r"unknown argument of options of load_dataset 'seperator'.*separator"):
        taken("load_dataset", {"path": "a.csv", "options": {"seperator": ";"}})


def test_a_text_stays_a_text_where_a_list_may_stand_as_well() -> None:
    assert taken("delete", {"handle": "dataset:a@1"})[0]["handle"] == "dataset:a@1"
    assert taken("delete", {"handle": '["dataset:a@1", "suite:b"]'})[0]["handle"] == ["dataset:a@1", "suite:b"]


def test_a_measurement_is_still_no_text() -> None:
    with pytest.raises(ToolFailure, match="metrics"):
        taken("log_run", {"run": "run:a", "metrics": {"auc": "0.9"}})
