"""What a client may offer while somebody types an argument of a prompt: what there is, to whoever may list it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import CompletionArgument, PromptReference

from mlops_mcp.config.settings import Settings
from mlops_mcp.prompts.templates import NAMED
from mlops_mcp.server.suggested import LISTINGS, MOST, PAGES, candidates
from mlops_mcp.tools import wire
from mlops_mcp.tools.errors import Denied, Unavailable

from ..conftest import connected
from ..waiting import PATIENCE_S


class Lists:
    """Answers as a tool that lists so many datasets, a page at a time, and counts what it is asked."""

    def __init__(self, names: list[str]) -> None:
        self.names, self.asked = names, list[dict[str, Any]]()

    async def __call__(self, _tool: str, arguments: dict[str, Any]) -> Mapping[str, Any]:
        self.asked.append(arguments)
        begin = int(arguments.get("cursor", 0))
        end = begin + arguments["limit"]
        items = [{"dataset": f"dataset:{name}", "name": name} for name in self.names[begin:end]]
        return {"items": items, "columns": items, "next_cursor": str(end) if end < len(self.names) else None}


async def found(lists: Any, name: str, typed: str, **given: str) -> list[str]:
    return await candidates(lists, CompletionArgument(name=name, value=typed), given)


@pytest.mark.parametrize("name", LISTINGS)
def test_a_list_is_asked_of_a_tool_that_only_reads_and_names_what_the_argument_takes(name: str) -> None:
    listing = LISTINGS[name]
    shape = wire.shipped(listing.tool)
    (items,) = (each for key, each in shape["outputSchema"]["properties"].items() if key == listing.items)
    line = shape["outputSchema"]["$defs"][items["items"]["$ref"].rpartition("/")[2]]
    assert shape["annotations"]["readOnlyHint"]
    assert listing.handle in line["required"]
    assert shape["inputSchema"]["properties"]["limit"]["maximum"] == MOST
    assert "cursor" in shape["inputSchema"]["properties"]
    assert name in NAMED


@pytest.mark.parametrize("typed", ["", "lo", "dataset:lo", "dataset:loans@", "nothing"])
async def test_what_is_offered_begins_with_what_was_typed_with_its_kind_or_without(typed: str) -> None:
    lists = Lists(["loans@1", "lots@2", "rows@3"])
    expected = [
        handle
        for handle in ("dataset:loans@1", "dataset:lots@2", "dataset:rows@3")
        if handle.startswith(typed) or handle.removeprefix("dataset:").startswith(typed)
    ]
    assert await found(lists, "dataset", typed) == expected


async def test_a_long_list_is_read_as_far_as_it_is_wanted_and_no_further() -> None:
    many = Lists([f"rows{number}@1" for number in range(10_000)])
    assert len(await found(many, "dataset", "rows")) > MOST  # so that it can be told that there are more
    assert len(many.asked) == 2
    rare = Lists([f"rows{number}@1" for number in range(10_000)])
    assert await found(rare, "dataset", "rows499@") == ["dataset:rows499@1"]
    assert len(rare.asked) == PAGES


async def test_columns_are_those_of_the_dataset_that_was_named_before() -> None:
    columns = Lists(["age", "a: b", "income"])
    assert await found(columns, "target", "a", dataset="a.csv") == ["age", "a: b"]
    assert columns.asked[0]["dataset"] == "a.csv"
    assert await found(Lists(["age"]), "target", "") == []
    assert await found(Lists(["a: b"]), "target", " b", dataset="a.csv") == []


@pytest.mark.parametrize("failure", [Denied("no"), Unavailable("MLflow does not answer"), ToolError("it crashed")])
async def test_where_nothing_may_be_seen_nothing_is_offered(failure: Exception) -> None:
    async def refuse(_tool: str, _arguments: dict[str, Any]) -> Mapping[str, Any]:
        raise failure

    assert await found(refuse, "dataset", "") == []


async def offered(client: Client, prompt: str, name: str, typed: str, **given: str) -> list[str]:
    reference = PromptReference(name=prompt)
    return (await client.complete(reference, {"name": name, "value": typed}, given or None)).completion.values


async def test_prompts_are_completed_with_what_there_is(client: Client, tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text("age,income\n1,2\n3,4\n", encoding="utf-8")
    async with asyncio.timeout(PATIENCE_S):
        while (made := await client.call_tool("load_dataset", {"path": str(tmp_path / "people.csv")})).is_error:
            assert "Ask for less at a time" in str(made.content), made.content
    handle = (made.structured_content or {})["dataset"]
    assert await offered(client, "data_preparer", "dataset", "peo") == [handle]
    assert await offered(client, "train_to_serve", "target", "in", dataset=handle) == ["income"]
    for prompt, name in (("data_preparer", "goal"), ("data_preparer", "endpoint"), ("nobody", "dataset")):
        assert await offered(client, prompt, name, "") == []


async def test_who_may_not_list_is_offered_nothing(settings: Settings, tmp_path: Path) -> None:
    rules = tmp_path / "policy.yaml"
    rules.write_text("default: allow\ndeny:\n- {tools: list_datasets}\n", encoding="utf-8")
    server = settings.server.model_copy(update={"policy": str(rules)})
    async with connected(settings.model_copy(update={"server": server})) as client:
        assert await offered(client, "data_preparer", "dataset", "") == []
