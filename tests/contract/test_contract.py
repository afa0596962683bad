"""What the server says of itself: the committed wire form, and what holds for every tool in it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from mlops_mcp.config.errors import SettingsError
from mlops_mcp.config.load import load
from mlops_mcp.config.settings import Settings
from mlops_mcp.server.app import create_server
from mlops_mcp.server.contract import BEGIN, END, with_table
from mlops_mcp.tools import catalog, wire
from mlops_mcp.tools.slices import SLICES

ROOT = Path(__file__).parent.parent.parent
INDEX = wire.index()
NAMES = [name for names in INDEX.values() for name in names]
TOOLS = {name: wire.shipped(name) for name in NAMES}
HINTS = {"readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"}
TOKENS_ON_AVERAGE = 130

every_tool = pytest.mark.parametrize("name", NAMES)


def properties(name: str) -> dict[str, Any]:
    return dict(TOOLS[name]["inputSchema"]["properties"])


# The committed files


def test_the_committed_wire_files_are_what_the_code_says_now() -> None:
    rendered = wire.render_all(catalog.load_all())
    committed = {file.name: file.read_text("utf-8") for file in (ROOT / "tools" / wire.FOLDER).glob("*.json")}
    changed = sorted(name for name in rendered.keys() | committed.keys() if rendered.get(name) != committed.get(name))
    assert changed == [], "the surface changed: look at it, then run `make contract` and commit the files"


def test_the_index_lists_the_slices_in_the_order_of_the_catalogue() -> None:
    assert list(INDEX) == list(SLICES)


def test_no_tool_is_published_by_two_slices() -> None:
    assert len(NAMES) == len(set(NAMES))


def test_every_slice_offers_tools_and_says_what_for() -> None:
    assert [name for name, toolset in catalog.load_all().items() if not (toolset.tools and toolset.description)] == []


def test_the_tool_table_of_the_readme_is_current() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert BEGIN in readme
    assert END in readme
    assert with_table(readme, catalog.load_all()) == readme, "run `make contract`"


# Every tool


@every_tool
def test_a_tool_is_named_in_small_letters_and_underscores(name: str) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name)
    assert len(name) <= 64


@every_tool
def test_a_tool_says_what_it_does_in_at_most_three_sentences(name: str) -> None:
    description = TOOLS[name]["description"]
    assert description.endswith((".", "…"))
    assert len(re.findall(r"[.!?](?=\s+[A-Z]|$)", description)) <= 3


@every_tool
def test_a_tool_states_all_four_hints(name: str) -> None:
    hints = TOOLS[name]["annotations"]
    assert set(hints) == HINTS
    assert all(isinstance(hint, bool) for hint in hints.values())
    assert not (hints["readOnlyHint"] and hints["destructiveHint"])


@every_tool
def test_the_context_of_a_tool_stays_inside(name: str) -> None:
    assert "context" not in properties(name)
    assert "ToolContext" not in json.dumps(TOOLS[name])


@every_tool
def test_every_tool_describes_its_result(name: str) -> None:
    assert TOOLS[name]["outputSchema"]["type"] == "object"


@every_tool
def test_only_a_write_that_is_not_harmless_to_repeat_takes_an_idempotency_key(name: str) -> None:
    hints = TOOLS[name]["annotations"]
    assert ("idempotency_key" in properties(name)) == (not hints["readOnlyHint"] and not hints["idempotentHint"])


@every_tool
def test_no_tool_costs_more_than_300_tokens(name: str) -> None:
    assert wire.tokens(TOOLS[name]) <= 300


def test_a_tool_costs_at_most_130_tokens_on_average() -> None:
    assert sum(map(wire.tokens, TOOLS.values())) / len(TOOLS) <= TOKENS_ON_AVERAGE


# What a client gets


async def test_a_client_is_told_exactly_the_committed_tools(client: Client) -> None:
    listed = (await client.list_tools()).tools
    shown = {tool.name: tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in listed}
    assert list(shown) == NAMES
    assert shown == {name: {key: part for key, part in tool.items() if part} for name, tool in TOOLS.items()}


async def test_every_tool_is_found_by_a_misspelt_name(client: Client) -> None:
    for name in NAMES:
        result = await client.call_tool(f"{name}x", {})
        assert result.is_error
        assert name in str(result.content)


async def test_every_tool_refuses_an_unknown_argument_and_names_the_nearest(client: Client) -> None:
    for name in NAMES:
        near = next(iter(properties(name)), "")
        result = await client.call_tool(name, {f"{near}_": 1})
        assert result.is_error, name
        assert f"unknown argument of {name}" in str(result.content)
        assert near in str(result.content)


async def test_every_tool_names_the_argument_that_has_the_wrong_type(client: Client) -> None:
    for name in NAMES:
        for argument, schema in properties(name).items():
            if wrong := _wrong(schema):
                result = await client.call_tool(name, {argument: wrong})
                assert result.is_error, f"{name}.{argument} takes {wrong}"
                assert argument in str(result.content)


def _wrong(schema: Mapping[str, Any]) -> Any:
    """A value that fits no branch of the schema; None where anything fits."""
    kinds = {branch["type"] for branch in schema.get("anyOf", [schema])}
    return 5 if "object" in kinds else {"wrong": True}


async def test_a_read_only_server_publishes_and_runs_only_what_changes_nothing(settings: Settings) -> None:
    safe = settings.model_copy(update={"server": settings.server.model_copy(update={"read_only": True})})
    async with Client(create_server(safe)) as client:
        names = [tool.name for tool in (await client.list_tools()).tools]
        refused = await client.call_tool("load_dataset", {"path": "x.csv"})
    assert names == [name for name in NAMES if TOOLS[name]["annotations"]["readOnlyHint"]]
    assert "unknown tool 'load_dataset'" in str(refused.content)


async def test_a_server_of_some_toolsets_publishes_only_those(settings: Settings) -> None:
    some = settings.model_copy(update={"server": settings.server.model_copy(update={"toolsets": ("jobs", "data")})})
    async with Client(create_server(some)) as client:
        names = [tool.name for tool in (await client.list_tools()).tools]
    assert names == [*INDEX["data"], *INDEX["jobs"]]


def test_an_unknown_toolset_is_refused_with_the_nearest(environ: dict[str, str]) -> None:
    settings = load(environ, {"server.toolsets": ["dta"]}).settings
    with pytest.raises(SettingsError, match=r"unknown toolset 'dta'. Did you mean data"):
        create_server(settings)
