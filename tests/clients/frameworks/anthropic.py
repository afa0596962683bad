"""The helper of Anthropic's SDK, which makes tools of a session's."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from anthropic.lib.tools import ToolError
from anthropic.lib.tools.mcp import async_mcp_tool, mcp_message, mcp_resource_to_content

from .content import Session, failures
from .mcp_second import way
from .steps import Outcome, Server, main


class Anthropic(Session):
    async def convert(self) -> dict[str, str]:
        return failures(
            lambda tool: async_mcp_tool(tool, self.session).to_dict(), (await self.session.list_tools()).tools
        )

    async def call(self, name: str, arguments: dict[str, Any]) -> Outcome:
        listed = {tool.name: tool for tool in (await self.session.list_tools()).tools}
        try:
            parts = await async_mcp_tool(listed[name], self.session).call(arguments)
        except ToolError as error:
            return Outcome(_text(error.content), failed=True)
        return Outcome(_text(parts), False, any(part["type"] == "image" for part in parts if isinstance(part, dict)))

    async def read(self, uri: str) -> str:
        return str(mcp_resource_to_content(await self.session.read_resource(uri)))

    async def prompt(self, name: str, arguments: dict[str, str]) -> str:
        return str([mcp_message(each) for each in (await self.session.get_prompt(name, arguments)).messages])


def _text(parts: Any) -> str:
    return parts if isinstance(parts, str) else "\n".join(part.get("text", "") for part in parts)


@asynccontextmanager
async def connect(server: Server, transport: str) -> AsyncGenerator[Anthropic]:
    async with way(server, transport) as client:
        yield Anthropic(client)


if __name__ == "__main__":
    main("anthropic", connect, "stdio", "http", "sse")
