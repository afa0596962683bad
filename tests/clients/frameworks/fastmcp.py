"""fastmcp's client."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from fastmcp import Client
from fastmcp.client.transports import SSETransport, StdioTransport, StreamableHttpTransport

from .content import outcome, prompted, resourced
from .steps import Outcome, Server, main


class Fastmcp:
    patience = 10

    def __init__(self, client: Client[Any]) -> None:
        self.client = client

    async def tools(self) -> list[str]:
        return [tool.name for tool in await self.client.list_tools()]

    async def call(self, name: str, arguments: dict[str, Any]) -> Outcome:
        return outcome(await self.client.call_tool_mcp(name, arguments))

    async def read(self, uri: str) -> str:
        return resourced(await self.client.read_resource(uri))

    async def prompt(self, name: str, arguments: dict[str, str]) -> str:
        return prompted(await self.client.get_prompt(name, arguments))


def way(server: Server, transport: str) -> StdioTransport | SSETransport | StreamableHttpTransport:
    if transport == "stdio":
        return StdioTransport(server.command, server.args, env=server.env)
    return (SSETransport if transport == "sse" else StreamableHttpTransport)(server.urls[transport])


@asynccontextmanager
async def connect(server: Server, transport: str) -> AsyncGenerator[Fastmcp]:
    async with Client(way(server, transport)) as client:
        yield Fastmcp(client)


if __name__ == "__main__":
    main("fastmcp", connect, "stdio", "http", "sse")
