"""The SDK of the second generation (mcp 2)."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from mcp import Client, StdioServerParameters
from mcp.client.sse import sse_client

from .content import Session
from .steps import Server, main


def way(server: Server, transport: str) -> Client:
    if transport == "stdio":
        return Client(StdioServerParameters(command=server.command, args=server.args, env=server.env))
    return Client(sse_client(server.urls["sse"]) if transport == "sse" else server.urls["http"])


@asynccontextmanager
async def connect(server: Server, transport: str) -> AsyncGenerator[Session]:
    async with way(server, transport) as client:
        yield Session(client)


if __name__ == "__main__":
    main("mcp", connect, "stdio", "http", "sse")
