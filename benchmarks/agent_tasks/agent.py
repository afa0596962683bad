"""A scripted agent: calls tools, and counts what a model would have written and read."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from mcp import Client
from mcp.client.stdio import StdioServerParameters
from mcp.types import CallToolResult, TextContent

CHARACTERS_PER_TOKEN = 4
WAIT_S = 50


class Refused(Exception):
    """The server answered a call with an error."""


class Agent:
    """`written` are the tokens of the arguments and `read` those of the answers, both at four characters a token."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.calls, self.written, self.read = 0, 0.0, 0.0
        self.tools: list[str] = []

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """The structured answer, of a job its result. Waiting longer for a job is a call as well.

        Raises:
            Refused: the tool answered with an error.
        """
        answer = await self.once(tool, **arguments)
        while answer.get("state") in ("queued", "running") and "job" in answer:
            answer = await self.once("get_job", job=answer["job"], wait_s=WAIT_S)
        if answer.get("state") == "done" and isinstance(answer.get("result"), dict):
            return dict(answer["result"])
        return answer

    async def refused(self, tool: str, **arguments: Any) -> str:
        """The text of a refusal."""
        try:
            answer = await self.call(tool, **arguments)
        except Refused as refusal:
            return str(refusal)
        raise AssertionError(f"{tool} was expected to refuse, and answered {answer}")

    async def once(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """One call, of a job what it says so far.

        Raises:
            Refused: the tool answered with an error.
        """
        result = await self.counted(tool, arguments)
        if result.is_error:
            raise Refused(f"{tool}: {text_of(result)}")
        return dict(result.structured_content or {})

    async def counted(self, tool: str, arguments: dict[str, Any]) -> CallToolResult:
        self.calls += 1
        self.tools.append(tool)
        self.written += tokens(tool + json.dumps(arguments, ensure_ascii=False, separators=(",", ":")))
        result = await self.client.call_tool(tool, arguments)
        self.read += tokens(text_of(result))
        return result


def text_of(result: CallToolResult) -> str:
    return "".join(block.text for block in result.content if isinstance(block, TextContent))


def tokens(text: str) -> float:
    return len(text) / CHARACTERS_PER_TOKEN


def environment(folder: Path, settings: Mapping[str, str]) -> dict[str, str]:
    """The variables of a server whose state lies in the folder and that may read all of it."""
    return {"MLOPS_HOME": str(folder / "home"), "MLOPS_DATA__ROOTS": json.dumps([str(folder)]), **settings}


@asynccontextmanager
async def agent_in(folder: Path, settings: Mapping[str, str], *arguments: str) -> AsyncGenerator[Agent]:
    server = StdioServerParameters(
        command=sys.executable,
        args=["-m", "mlops_mcp.server", "serve", *arguments],
        env={**os.environ, **environment(folder, settings)},
        cwd=str(folder),
    )
    async with Client(server, read_timeout_seconds=600) as client:
        yield Agent(client)
