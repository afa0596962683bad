"""Haystack's toolset, whose tools are blocking."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from haystack.tools.errors import ToolInvocationError
from haystack_integrations.tools.mcp import MCPToolset, SSEServerInfo, StdioServerInfo, StreamableHttpServerInfo

from .content import failures
from .steps import Outcome, Server, main


class Haystack:
    patience = 30

    def __init__(self, toolset: MCPToolset) -> None:
        toolset.warm_up()
        self.found = {tool.name: tool for tool in toolset.tools}

    def tools(self) -> list[str]:
        return list(self.found)

    def convert(self) -> dict[str, str]:
        return failures(lambda tool: tool.tool_spec, self.found.values())

    def call(self, name: str, arguments: dict[str, Any]) -> Outcome:
        try:
            answer = self.found[name].invoke(**arguments)
        except ToolInvocationError as error:
            return Outcome(str(error), failed=True)
        return Outcome(answer if isinstance(answer, str) else str(answer))


@contextmanager
def connect(server: Server, transport: str) -> Generator[Haystack]:
    way: Any = (
        StdioServerInfo(command=server.command, args=server.args, env=server.env)
        if transport == "stdio"
        else (SSEServerInfo if transport == "sse" else StreamableHttpServerInfo)(url=server.urls[transport])
    )
    toolset = MCPToolset(way)
    try:
        yield Haystack(toolset)
    finally:
        toolset.close()


main("mcp-haystack", connect, "stdio", "http", "sse")
