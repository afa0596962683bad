"""Google's Agent Development Kit, with the declarations of Gemini."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any
from unittest.mock import MagicMock

from google.adk.tools.mcp_tool import McpToolset, SseConnectionParams, StreamableHTTPConnectionParams
from google.adk.tools.mcp_tool.mcp_session_manager import StdioConnectionParams
from mcp import StdioServerParameters

from .content import failures
from .steps import Outcome, Server, main


class GoogleAdk:
    patience = 5

    def __init__(self, toolset: McpToolset) -> None:
        self.toolset = toolset
        self.found: dict[str, Any] = {}

    async def tools(self) -> list[str]:
        self.found = {tool.name: tool for tool in await self.toolset.get_tools()}
        return list(self.found)

    async def convert(self) -> dict[str, str]:
        return failures(lambda tool: tool._get_declaration(), await self.toolset.get_tools())

    async def call(self, name: str, arguments: dict[str, Any]) -> Outcome:
        if not self.found:
            await self.tools()
        answer = await self.found[name].run_async(args=arguments, tool_context=MagicMock())
        parts = answer.get("content") or [{"type": "text", "text": str(answer)}]
        text = "\n".join(part["text"] for part in parts if part.get("text"))
        failed = bool(answer.get("isError") or answer.get("error"))
        return Outcome(text, failed, any(part["type"] == "image" for part in parts))


@asynccontextmanager
async def connect(server: Server, transport: str) -> AsyncGenerator[GoogleAdk]:
    way: Any = (
        StdioConnectionParams(
            server_params=StdioServerParameters(command=server.command, args=server.args, env=server.env)
        )
        if transport == "stdio"
        else (SseConnectionParams if transport == "sse" else StreamableHTTPConnectionParams)(url=server.urls[transport])
    )
    toolset = McpToolset(connection_params=way)
    try:
        yield GoogleAdk(toolset)
    finally:
        await toolset.close()


main("google-adk", connect, "stdio", "http", "sse")
