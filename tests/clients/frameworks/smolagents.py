"""smolagents, whose tools are blocking."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from mcp import StdioServerParameters
from smolagents import MCPClient
from smolagents.models import get_tool_json_schema

from .content import failures
from .steps import Outcome, Server, main


class Smolagents:
    patience = 10

    def __init__(self, client: MCPClient) -> None:
        self.found = {tool.name: tool for tool in client.get_tools()}

    def tools(self) -> list[str]:
        return list(self.found)

    def convert(self) -> dict[str, str]:
        return failures(get_tool_json_schema, self.found.values())

    def call(self, name: str, arguments: dict[str, Any]) -> Outcome:
        answer = self.found[name](**arguments)
        picture = "image" in type(answer).__name__.lower()
        text = "" if picture else str(answer)
        return Outcome(text, False, picture)


@contextmanager
def connect(server: Server, transport: str) -> Generator[Smolagents]:
    way: Any = (
        StdioServerParameters(command=server.command, args=server.args, env=server.env)
        if transport == "stdio"
        else {"transport": {"http": "streamable-http"}.get(transport, transport), "url": server.urls[transport]}
    )
    client = MCPClient(way, structured_output=False)
    try:
        yield Smolagents(client)
    finally:
        client.disconnect()


main("smolagents", connect, "stdio", "http", "sse")
