"""The tools of an agent: what the model is told of a call, and when the server counts as lost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest
from anthropic.lib.tools import ToolError
from mcp import Client, MCPError
from mcp.types import (
    CONNECTION_CLOSED,
    INVALID_PARAMS,
    CallToolResult,
    ContentBlock,
    ImageContent,
    ResourceLink,
    TextContent,
)

from mlops_mcp.server.agents.outcome import Report
from mlops_mcp.server.agents.toolbox import Toolbox
from mlops_mcp.server.cli import command_line

Answer = CallToolResult | MCPError


class Answers:
    """Stands at the wire: gives its answers in turn, and keeps what it was asked."""

    def __init__(self, answers: Sequence[Answer]) -> None:
        self.answers, self.metas = list(answers), list[Any]()

    async def call_tool(self, _name: str, _arguments: dict[str, Any], **more: Any) -> CallToolResult:
        self.metas.append(more["meta"])
        answer = self.answers.pop(0)
        if isinstance(answer, MCPError):
            raise answer
        return answer


def box(*answers: Answer) -> Toolbox:
    told = list[str]()
    return Toolbox(
        cast(Client, Answers(answers)), Report("model_trainer"), {"span": "a"}, lambda name, _: told.append(name)
    )


def said(handle: str = "run:1", is_error: bool = False) -> CallToolResult:
    content: list[ContentBlock] = [
        TextContent(type="text", text="so"),
        ResourceLink(type="resource_link", uri="picture://runs/1", name="x"),
        ImageContent(type="image", data="", mime_type="image/png"),
    ]
    return CallToolResult(content=content, structured_content={"made": handle}, is_error=is_error)


CLOSED = MCPError(code=CONNECTION_CLOSED, message="Connection closed")
REFUSED = MCPError(code=INVALID_PARAMS, message="no such argument")


async def test_a_server_that_is_gone_is_lost_and_the_call_failed() -> None:
    tools = box(CLOSED)
    with pytest.raises(ToolError, match=r"train_model: .*Connection closed"):
        await tools.call_tool("train_model", {})
    assert "Connection closed" in tools.lost
    assert (tools.report.calls, tools.report.failed_calls) == (1, 1)


async def test_a_request_that_is_refused_loses_no_server() -> None:
    tools = box(REFUSED, said())
    with pytest.raises(ToolError, match="no such argument"):
        await tools.call_tool("train_model", {})
    assert tools.lost == ""
    await tools.call_tool("train_model", {})
    assert (tools.lost, tools.report.calls, tools.report.failed_calls) == ("", 2, 1)


async def test_the_model_reads_texts_and_pictures_and_handles_are_kept_once_and_of_no_failure() -> None:
    tools = box(said(), said(), said("run:2", is_error=True), said("decision:0"))
    shown = [await tools.call_tool("train_model", {}) for _ in range(4)]
    assert [[block.type for block in each.content] for each in shown] == [["text", "image"]] * 4
    assert (tools.report.handles, tools.report.decisions) == (["run:1"], ["decision:0"])
    assert (tools.report.calls, tools.report.failed_calls) == (4, 1)
    assert cast(Any, tools.client).metas == [{"span": "a"}] * 4


def test_what_is_known_is_taken_from_the_command_line_as_it_is_written() -> None:
    known = "Handles: run:1\n\nmodel_trainer said: --agent x 'quoted' $HOME"
    asked = command_line().parse_args(["agent", "--agent", "model_deployer", "--known", known, "deploy it"])
    assert (asked.known, asked.goal, asked.profile) == (known, "deploy it", "model_deployer")
    assert command_line().parse_args(["agent", "deploy it"]).known == ""
