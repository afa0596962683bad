"""langchain's adapters."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from langchain_core.utils.function_calling import convert_to_openai_tool
from langchain_mcp_adapters.client import MultiServerMCPClient

from .content import failures
from .steps import Outcome, Server, main


class Langchain:
    patience = 10

    def __init__(self, client: MultiServerMCPClient) -> None:
        self.client = client
        self.found: dict[str, Any] = {}

    async def tools(self) -> list[str]:
        self.found = {tool.name: tool for tool in await self.client.get_tools()}
        return list(self.found)

    async def convert(self) -> dict[str, str]:
        return failures(convert_to_openai_tool, self.found.values())

    async def call(self, name: str, arguments: dict[str, Any]) -> Outcome:
        if not self.found:
            await self.tools()
        call = {"type": "tool_call", "id": "1", "name": name, "args": arguments}
        message = await self.found[name].ainvoke(call)
        parts = message.content if isinstance(message.content, list) else [{"type": "text", "text": message.content}]
        text = "\n".join(part["text"] for part in parts if part.get("text"))
        return Outcome(text, message.status == "error", any(part["type"] == "image" for part in parts))

    async def read(self, uri: str) -> str:
        return "\n".join(blob.as_string() for blob in await self.client.get_resources("server", uris=uri))

    async def prompt(self, name: str, arguments: dict[str, str]) -> str:
        messages = await self.client.get_prompt("server", name, arguments=arguments)
        return "\n".join(str(message.content) for message in messages)


@asynccontextmanager
async def connect(server: Server, transport: str) -> AsyncGenerator[Langchain]:
    way: Any = (
        {"transport": "stdio", "command": server.command, "args": server.args, "env": server.env}
        if transport == "stdio"
        else {"transport": {"http": "streamable_http"}.get(transport, transport), "url": server.urls[transport]}
    )
    yield Langchain(MultiServerMCPClient({"server": way}))


main("langchain-mcp-adapters", connect, "stdio", "http", "sse")
