"""LlamaIndex's tools."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from llama_index.tools.mcp import BasicMCPClient, McpToolSpec

from .content import failures, resourced
from .steps import Outcome, Server, main


class LlamaIndex:
    patience = 30

    def __init__(self, client: BasicMCPClient) -> None:
        self.client = client
        self.found: dict[str, Any] = {}

    async def tools(self) -> list[str]:
        listed = await McpToolSpec(client=self.client).to_tool_list_async()
        self.found = {tool.metadata.name: tool for tool in listed}
        return list(self.found)

    async def convert(self) -> dict[str, str]:
        return failures(lambda tool: tool.to_openai_tool(), [tool.metadata for tool in self.found.values()])

    async def call(self, name: str, arguments: dict[str, Any]) -> Outcome:
        if not self.found:
            await self.tools()
        output = await self.found[name].acall(**arguments)
        result = output.raw_output
        pictures = any(type(block).__name__ == "ImageBlock" for block in output.blocks)
        return Outcome(output.content, bool(output.is_error or getattr(result, "is_error", False)), pictures)

    async def read(self, uri: str) -> str:
        return resourced(await self.client.read_resource(uri))

    async def prompt(self, name: str, arguments: dict[str, str]) -> str:
        return str(await self.client.get_prompt(name, arguments))


@asynccontextmanager
async def connect(server: Server, transport: str) -> AsyncGenerator[LlamaIndex]:
    yield LlamaIndex(
        BasicMCPClient(server.command, args=server.args, env=server.env)
        if transport == "stdio"
        else BasicMCPClient(server.urls[transport])
    )


main("llama-index-tools-mcp", connect, "stdio", "http", "sse")
