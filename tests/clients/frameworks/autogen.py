"""AutoGen's workbench of tools, and the single tools that its other adapter makes."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from autogen_core.utils import schema_to_pydantic_model
from autogen_ext.tools.mcp import McpWorkbench, SseServerParams, StdioServerParams, StreamableHttpServerParams

from .content import failures, prompted, resourced
from .steps import Outcome, Server, main


class Autogen:
    patience = 5

    def __init__(self, bench: McpWorkbench) -> None:
        self.bench = bench

    async def tools(self) -> list[str]:
        return [tool["name"] for tool in await self.bench.list_tools()]

    async def convert(self) -> dict[str, str]:
        found = (await self.bench._actor.call("list_tools", None)) if self.bench._actor else None
        listed = (await found).tools if found else []
        return failures(lambda tool: schema_to_pydantic_model(tool.inputSchema), listed)

    async def call(self, name: str, arguments: dict[str, Any]) -> Outcome:
        result = await self.bench.call_tool(name, arguments)
        text = "\n".join(each.content for each in result.result if isinstance(each.content, str))
        return Outcome(text, result.is_error, any(not isinstance(each.content, str) for each in result.result))

    async def read(self, uri: str) -> str:
        return resourced(await self.bench.read_resource(uri))

    async def prompt(self, name: str, arguments: dict[str, str]) -> str:
        return prompted(await self.bench.get_prompt(name, arguments))


@asynccontextmanager
async def connect(server: Server, transport: str) -> AsyncGenerator[Autogen]:
    way: Any = (
        StdioServerParams(command=server.command, args=server.args, env=server.env)
        if transport == "stdio"
        else (SseServerParams if transport == "sse" else StreamableHttpServerParams)(url=server.urls[transport])
    )
    async with McpWorkbench(way) as bench:
        yield Autogen(bench)


main("autogen-ext", connect, "stdio", "http", "sse")
