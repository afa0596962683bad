"""CrewAI's own servers (`mcps=` of an agent): every call is a connection of its own."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from crewai.mcp import MCPServerHTTP, MCPServerSSE, MCPServerStdio, MCPToolResolver
from crewai.utilities.logger import Logger

from .crewai_tools import CrewaiTools
from .steps import Server, main


class CrewaiNative(CrewaiTools):
    patience = 30

    def __init__(self, tools: Any) -> None:
        self.found = {tool.original_tool_name: tool for tool in tools}


@contextmanager
def connect(server: Server, transport: str) -> Generator[CrewaiNative]:
    way: Any = (
        MCPServerStdio(command=server.command, args=server.args, env=server.env)
        if transport == "stdio"
        else MCPServerSSE(url=server.urls["sse"])
        if transport == "sse"
        else MCPServerHTTP(url=server.urls["http"])
    )
    resolver = MCPToolResolver(agent=None, logger=Logger())
    yield CrewaiNative(resolver.resolve([way]))
    resolver.cleanup()


main("crewai", connect, "stdio", "http", "sse")
