"""mcp-use, with the tools of its adapter for langchain, which sends null for what a model leaves out."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from langchain_core.utils.function_calling import convert_to_openai_tool
from mcp_use import MCPClient
from mcp_use.agents.adapters.langchain_adapter import LangChainAdapter

from .content import failures, prompted, resourced
from .steps import Outcome, Server, main


class McpUse:
    patience = 10

    def __init__(self, client: MCPClient, session: Any) -> None:
        self.client = client
        self.session = session
        self.found: dict[str, Any] = {}

    async def tools(self) -> list[str]:
        adapter = LangChainAdapter()
        await adapter.create_all(self.client)
        self.found = {tool.name: tool for tool in adapter.tools}
        return list(self.found)

    async def convert(self) -> dict[str, str]:
        return failures(convert_to_openai_tool, self.found.values())

    async def call(self, name: str, arguments: dict[str, Any]) -> Outcome:
        if not self.found:
            await self.tools()
        answer = await self.found[name].ainvoke(arguments)
        text = answer if isinstance(answer, str) else str(answer)
        return Outcome(text, '"error"' in text or "error" in text[:80].lower(), "'type': 'image" in text)

    async def read(self, uri: str) -> str:
        return resourced(await self.session.read_resource(uri))

    async def prompt(self, name: str, arguments: dict[str, str]) -> str:
        return prompted(await self.session.get_prompt(name, arguments))


@asynccontextmanager
async def connect(server: Server, transport: str) -> AsyncGenerator[McpUse]:
    way: Any = (
        {"command": server.command, "args": server.args, "env": server.env}
        if transport == "stdio"
        else {"url": server.urls[transport]}
    )
    client = MCPClient.from_dict({"mcpServers": {"server": way}})
    session = await client.create_session("server")
    yield McpUse(client, session)
    await client.close_all_sessions()


main("mcp-use", connect, "stdio", "http", "sse")
