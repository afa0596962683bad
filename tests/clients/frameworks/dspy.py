"""DSPy's tools."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import dspy

from .content import Session, failures
from .mcp_second import way
from .steps import Outcome, Server, main


class Dspy(Session):
    async def convert(self) -> dict[str, str]:
        tools = (await self.session.list_tools()).tools
        return failures(lambda tool: self._tool(tool).format_as_litellm_function_call(), tools)

    def _tool(self, tool: Any) -> Any:
        return dspy.Tool.from_mcp_tool(self.session, tool)

    async def call(self, name: str, arguments: dict[str, Any]) -> Outcome:
        listed = {tool.name: tool for tool in (await self.session.list_tools()).tools}
        try:
            answer = await self._tool(listed[name]).acall(**arguments)
        except RuntimeError as error:
            return Outcome(str(error), failed=True)
        parts = answer if isinstance(answer, list) else [answer]
        text = "\n".join(part for part in parts if isinstance(part, str))
        return Outcome(text, False, any(getattr(part, "type", "") == "image" for part in parts))

    read = None  # type: ignore[assignment]
    prompt = None  # type: ignore[assignment]


@asynccontextmanager
async def connect(server: Server, transport: str) -> AsyncGenerator[Dspy]:
    async with way(server, transport) as client:
        yield Dspy(client)


main("dspy", connect, "stdio", "http", "sse")
