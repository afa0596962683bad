"""pydantic-ai's toolset of a server."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from pydantic_ai import ModelRetry
from pydantic_ai.mcp import MCPToolset
from pydantic_ai.profiles.google import GoogleJsonSchemaTransformer
from pydantic_ai.profiles.openai import OpenAIJsonSchemaTransformer

from .content import failures
from .fastmcp import way
from .steps import Outcome, Server, main


class PydanticAi:
    patience = 10

    def __init__(self, toolset: MCPToolset[Any]) -> None:
        self.toolset = toolset

    async def tools(self) -> list[str]:
        return [tool.name for tool in await self.toolset.list_tools()]

    async def convert(self) -> dict[str, str]:
        return failures(_transformed, await self.toolset.list_tools())

    async def call(self, name: str, arguments: dict[str, Any]) -> Outcome:
        try:
            answer = await self.toolset.direct_call_tool(name, arguments)
        except ModelRetry as error:
            return Outcome(str(error), failed=True)
        parts = answer if isinstance(answer, list) else [answer]
        pictures = [part for part in parts if type(part).__name__ in ("BinaryContent", "BinaryImage")]
        return Outcome("\n".join(str(part) for part in parts if part not in pictures), False, bool(pictures))

    async def read(self, uri: str) -> str:
        return str(await self.toolset.read_resource(uri))

    async def prompt(self, name: str, arguments: dict[str, str]) -> str:
        return str(await self.toolset.get_prompt(name, arguments))


def _transformed(tool: Any) -> None:
    schema = getattr(tool, "input_schema", None) or tool.inputSchema
    for transformer in (OpenAIJsonSchemaTransformer, GoogleJsonSchemaTransformer):
        transformer(schema).walk()


@asynccontextmanager
async def connect(server: Server, transport: str) -> AsyncGenerator[PydanticAi]:
    async with MCPToolset(way(server, transport)) as toolset:
        yield PydanticAi(toolset)


main("pydantic-ai-slim", connect, "stdio", "http", "sse")
