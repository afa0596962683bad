"""Agno's toolkit of a server."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from agno.tools.function import FunctionCall
from agno.tools.mcp import MCPTools, SSEClientParams, StreamableHTTPClientParams
from mcp import StdioServerParameters

from .content import failures
from .steps import Outcome, Server, main


class Agno:
    patience = 10

    def __init__(self, toolkit: MCPTools) -> None:
        self.toolkit = toolkit

    async def tools(self) -> list[str]:
        return list(self.toolkit.functions)

    async def convert(self) -> dict[str, str]:
        return failures(lambda function: function.to_dict(), self.toolkit.functions.values())

    async def call(self, name: str, arguments: dict[str, Any]) -> Outcome:
        call = FunctionCall(function=self.toolkit.functions[name], arguments=arguments)
        done = await call.aexecute()
        result = done.result
        text = str(getattr(result, "content", result) or done.error or "")
        return Outcome(
            text,
            done.status == "failure" or text.startswith(("Error", "MCP tool ")),
            bool(getattr(result, "images", None)),
        )


@asynccontextmanager
async def connect(server: Server, transport: str) -> AsyncGenerator[Agno]:
    if transport == "stdio":
        parameters = StdioServerParameters(command=server.command, args=server.args, env=server.env)
        toolkit = MCPTools(server_params=parameters, transport="stdio")
    elif transport == "sse":
        toolkit = MCPTools(server_params=SSEClientParams(url=server.urls["sse"]), transport="sse")
    else:
        toolkit = MCPTools(
            server_params=StreamableHTTPClientParams(url=server.urls["http"]), transport="streamable-http"
        )
    async with toolkit:
        yield Agno(toolkit)


main("agno", connect, "stdio", "http", "sse")
