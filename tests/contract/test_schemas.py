"""The schemas in tools/list: what some client cannot convert is in none of them, at any depth."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, JsonValue

from mlops_mcp.server.app import INSTRUCTIONS
from mlops_mcp.tools import wire
from mlops_mcp.tools.schemas import for_arguments, for_result

from .words import OF_ANOTHER_TYPE, WORDS

ROOT = Path(__file__).parent.parent.parent
TOOLS = {name: wire.shipped(name) for names in wire.index().values() for name in names}
INPUTS = {name: tool["inputSchema"] for name, tool in TOOLS.items()}
DEFAULTS: dict[str, list[type]] = {"string": [str], "integer": [int], "number": [int, float], "boolean": [bool]}
TYPES = {"string", "number", "integer", "boolean", "object", "array"}
# What converters are known to refuse, to drop or to misread.
NOWHERE = {
    "$ref", "$defs", "additionalProperties", "const", "prefixItems", "oneOf", "allOf", "not", "title",
    "exclusiveMinimum", "exclusiveMaximum", "patternProperties",
}  # fmt: skip

every_tool = pytest.mark.parametrize("name", TOOLS)


def schemas(node: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """A schema and every schema inside, each with where it stands."""
    yield path, node
    for name, child in node.get("properties", {}).items():
        yield from schemas(child, f"{path}.{name}")
    for number, child in enumerate(node.get("anyOf", [])):
        yield from schemas(child, f"{path}|{number}")
    if "items" in node:
        yield from schemas(node["items"], f"{path}[]")


def kind(schema: dict[str, Any]) -> str:
    if "anyOf" in schema:
        return " | ".join(map(kind, schema["anyOf"]))
    return f"list of {kind(schema['items'])}" if schema["type"] == "array" else str(schema["type"])


def keywords(node: Any) -> Iterator[tuple[str, Any]]:
    """Every keyword of a schema with its value, the names of properties left out."""
    for key, child in node.items():
        yield key, child
        inner = child.values() if key in ("properties", "$defs") else child if isinstance(child, list) else [child]
        for each in inner:
            if isinstance(each, dict) and key not in ("default", "examples"):
                yield from keywords(each)


@every_tool
def test_the_arguments_use_no_keyword_that_a_converter_trips_over(name: str) -> None:
    assert [(path, key) for path, node in schemas(INPUTS[name]) for key in NOWHERE & set(node)] == []


@every_tool
def test_everything_in_the_arguments_has_one_plain_type_or_a_choice_of_such(name: str) -> None:
    untyped = [path for path, node in schemas(INPUTS[name]) if ("anyOf" in node) == (node.get("type") in TYPES)]
    assert untyped == []


@every_tool
def test_the_arguments_are_an_object_that_lists_its_properties(name: str) -> None:
    assert INPUTS[name]["type"] == "object"
    assert isinstance(INPUTS[name]["properties"], dict)
    assert set(INPUTS[name].get("required", [])) <= set(INPUTS[name]["properties"])


@every_tool
def test_a_list_says_of_what_and_a_choice_of_which_type(name: str) -> None:
    for path, node in schemas(INPUTS[name]):
        assert ("items" in node) == (node.get("type") == "array"), path
        if "enum" in node:
            assert node["type"] == "string", path
            assert all(isinstance(choice, str) and choice for choice in node["enum"]), path


@every_tool
def test_a_default_is_of_the_type_of_its_argument_and_within_its_bounds(name: str) -> None:
    for path, node in schemas(INPUTS[name]):
        if "default" in node:
            assert type(node["default"]) in DEFAULTS[node["type"]], path
            assert "enum" not in node or node["default"] in node["enum"], path
            assert "minimum" not in node or node["default"] >= node["minimum"], path


@every_tool
def test_a_result_has_no_boolean_in_the_place_of_a_schema_and_no_tuple(name: str) -> None:
    for key, value in keywords(TOOLS[name]["outputSchema"] or {}):
        assert key not in ("additionalProperties", "items") or isinstance(value, dict)
        assert key != "prefixItems"


# One name for one thing


def test_every_argument_is_in_the_dictionary_with_its_type_and_nothing_else_is() -> None:
    found = {
        (tool, argument): kind(schema)
        for tool, schema_ in INPUTS.items()
        for argument, schema in schema_["properties"].items()
    }
    expected = {key: OF_ANOTHER_TYPE.get(key, WORDS[key[1]].kind) for key in found if key[1] in WORDS}
    assert found == expected
    assert set(WORDS) == {argument for _, argument in found}


def test_no_two_names_mean_the_same() -> None:
    meanings = [word.meaning for word in WORDS.values()]
    assert len(meanings) == len(set(meanings))


@every_tool
def test_an_argument_is_described_unless_its_name_says_all(name: str) -> None:
    silent = {argument for argument, schema in INPUTS[name]["properties"].items() if not schema.get("description")}
    told = set(re.findall(r"`(\w+)`", TOOLS[name]["description"])) | {
        argument for argument in silent if WORDS[argument].plain
    }
    assert silent - told <= set(wire.TOLD_ONCE)


def test_a_tool_leaves_to_the_instructions_only_what_it_has_no_room_for() -> None:
    assert [argument for argument in wire.TOLD_ONCE if not re.search(rf"\b{argument}\b", INSTRUCTIONS)] == []
    told = {**wire.COMMON, wire.WAIT: INPUTS["get_job"]["properties"][wire.WAIT]}
    for name, schema in INPUTS.items():
        for argument in told.keys() & schema["properties"].keys():
            if "description" not in schema["properties"][argument]:
                more = len(f',"description":"{told[argument]["description"]}"') / 4
                assert wire.tokens(TOOLS[name]) + more > wire.MOST_TOKENS, name


# How a schema becomes portable


class Leaf(BaseModel, extra="forbid"):
    value: JsonValue = None
    pair: tuple[int, int] = (0, 1)
    sizes: dict[str, float] = {}


class Tree(BaseModel):
    leaf: Leaf | None = None
    branches: list[Tree] = []
    anything: list[JsonValue] = []


def test_what_is_nested_is_inlined_and_what_nests_itself_ends() -> None:
    schema = for_arguments(Tree.model_json_schema())
    leaf = schema["properties"]["leaf"]["properties"]
    assert leaf["pair"]["items"] == {"type": "integer"}
    assert leaf["sizes"] == {"type": "object"}
    assert {option["type"] for option in leaf["value"]["anyOf"]} == {"string", "number", "boolean", "object", "array"}
    assert [(path, key) for path, node in schemas(schema) for key in NOWHERE & set(node)] == []
    assert all("anyOf" in node or node["type"] in TYPES for _, node in schemas(schema))


def test_a_result_keeps_its_definitions_and_may_hold_null_for_a_number() -> None:
    class Found(BaseModel):
        values: tuple[float, float]

    class Answer(BaseModel):
        found: Found

    schema = for_result(Answer.model_json_schema())
    assert schema["$defs"]["Found"]["properties"]["values"] == {
        "items": {"type": ["number", "null"]}, "minItems": 2, "maxItems": 2, "type": "array",
    }  # fmt: skip


# Calls that our texts propose


def proposed(text: str) -> Iterator[tuple[str, str]]:
    """(tool, argument) of the calls in a text, e.g. get_job(job=…)."""
    for tool, arguments in re.findall(rf"\b({'|'.join(TOOLS)})\(([^()]*)", text):
        yield from ((tool, name) for name in re.findall(r"(?:^|[,\s])([a-z_]+)=(?!=)", arguments))


def texts(file: Path) -> Iterator[str]:
    """The texts of a module, with … for what is filled in; the calls of `undo.call` as texts."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        match node:
            case ast.JoinedStr(values=parts):
                yield "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in parts)
            case ast.Constant(value=str(text)):
                yield text
            case ast.Call(func=ast.Name(id="call"), args=[ast.Constant(value=str(tool))], keywords=keywords):
                yield f"{tool}({', '.join(f'{each.arg}=…' for each in keywords)})"
            case _:
                pass


def test_every_call_that_a_text_proposes_takes_its_arguments() -> None:
    files = [file for folder in ("tools", "server", "resources") for file in (ROOT / folder).rglob("*.py")]
    pages = [page.read_text(encoding="utf-8") for page in (ROOT / "prompts").rglob("*.md")]
    every = [text for file in files for text in texts(file)] + pages
    found = {call for text in every for call in proposed(text)}
    assert len(found) > 30
    assert {(tool, name) for tool, name in found if name not in INPUTS[tool]["properties"]} == set()
