"""A scripted agent: calls tools over stdio, and counts what a model would have written and read."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from mcp import Client
from mcp.client.stdio import StdioServerParameters
from mcp.types import TextContent

CHARACTERS_PER_TOKEN = 4
WAIT_S = 50


class Agent:
    """`written` are the tokens of the arguments and `read` those of the answers, both at four characters a token."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.calls, self.written, self.read = 0, 0.0, 0.0
        self.tools: list[str] = []

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """The structured answer, of a job its result. Waiting longer for a job is a call as well.

        Raises:
            RuntimeError: the tool refused.
        """
        answer = await self._counted(tool, arguments)
        while answer.get("state") in ("queued", "running") and "job" in answer:
            answer = await self._counted("get_job", {"job": answer["job"], "wait_s": WAIT_S})
        if answer.get("state") == "done" and isinstance(answer.get("result"), dict):
            return dict(answer["result"])
        return answer

    async def started(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """The view of a job that is not waited for."""
        return await self._counted(tool, arguments)

    async def refused(self, tool: str, **arguments: Any) -> str:
        """The text of a refusal."""
        try:
            answer = await self._counted(tool, arguments)
        except RuntimeError as refusal:
            return str(refusal)
        raise AssertionError(f"{tool} was expected to refuse, and answered {answer}")

    async def _counted(self, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        self.calls += 1
        self.tools.append(tool)
        self.written += tokens(tool + json.dumps(arguments, ensure_ascii=False, separators=(",", ":")))
        result = await self._client.call_tool(tool, arguments)
        text = "".join(block.text for block in result.content if isinstance(block, TextContent))
        self.read += tokens(text)
        if result.is_error:
            raise RuntimeError(f"{tool}: {text}")
        return dict(result.structured_content or {})


def tokens(text: str) -> float:
    return len(text) / CHARACTERS_PER_TOKEN


@asynccontextmanager
async def agent_in(folder: Path, **variables: str) -> AsyncGenerator[Agent]:
    """An agent whose server keeps its state in the folder and may read it."""
    home = {"MLOPS_HOME": str(folder / "home"), "MLOPS_DATA__ROOTS": json.dumps([str(folder)])}
    server = StdioServerParameters(
        command=sys.executable,
        args=["-m", "mlops_mcp.server", "serve"],
        env={**os.environ, **home, **variables},
        cwd=str(folder),
    )
    async with Client(server, read_timeout_seconds=600) as client:
        yield Agent(client)
