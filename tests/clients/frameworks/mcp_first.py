"""The SDK of the first generation (mcp 1)."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from mcp import ClientSession, StdioServerParameters
from mcp.client.sse import sse_client
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamablehttp_client

from .content import Session
from .steps import Server, main


@asynccontextmanager
async def connect(server: Server, transport: str) -> AsyncGenerator[Session]:
    way: Any = (
        stdio_client(StdioServerParameters(command=server.command, args=server.args, env=server.env))
        if transport == "stdio"
        else (sse_client if transport == "sse" else streamablehttp_client)(server.urls[transport])
    )
    async with way as streams, ClientSession(streams[0], streams[1]) as session:
        await session.initialize()
        yield Session(session)


if __name__ == "__main__":
    main("mcp", connect, "stdio", "http", "sse")
