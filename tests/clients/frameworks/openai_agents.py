"""The OpenAI Agents SDK: its tools are called as its runner calls them, with a text of JSON."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from agents import FunctionTool
from agents.mcp import MCPServer, MCPServerSse, MCPServerStdio, MCPServerStreamableHttp, MCPUtil
from agents.tool_context import ToolContext

from .content import prompted, resourced
from .steps import Outcome, Server, main


class OpenaiAgents:
    patience = 5

    def __init__(self, server: MCPServer) -> None:
        self.server = server
        self.functions: dict[str, FunctionTool] = {}

    async def tools(self) -> list[str]:
        return [tool.name for tool in await self.server.list_tools()]

    async def convert(self) -> dict[str, str]:
        for tool in await self.server.list_tools():
            self.functions[tool.name] = MCPUtil.to_function_tool(tool, self.server, convert_schemas_to_strict=True)
        loose = [each for each in self.functions.values() if not each.strict_json_schema]
        # Arguments with free keys cannot be strict.
        return {each.name: "is not strict" for each in loose if not _has_free_keys(each.params_json_schema)}

    async def call(self, name: str, arguments: dict[str, Any]) -> Outcome:
        if not self.functions:
            await self.convert()
        function = self.functions.get(name)
        if function is None:
            return Outcome(f"unknown {name}", failed=True)
        given = json.dumps(arguments)
        context = ToolContext(context=None, tool_name=name, tool_call_id="1", tool_arguments=given)
        answer = await function.on_invoke_tool(context, given)
        parts = answer if isinstance(answer, list) else [answer]
        text = "\n".join(each if isinstance(each, str) else str(each.get("text", "")) for each in parts)
        pictures = any(isinstance(each, dict) and each.get("type") == "image" for each in parts)
        return Outcome(text, text.startswith("An error occurred"), pictures)

    async def prompt(self, name: str, arguments: dict[str, str]) -> str:
        return prompted(await self.server.get_prompt(name, arguments))

    async def read(self, uri: str) -> str:
        return resourced(await self.server.read_resource(uri))


def _has_free_keys(node: Any) -> bool:
    if isinstance(node, dict):
        free = node.get("type") == "object" and (not node.get("properties") or node.get("additionalProperties"))
        return bool(free) or any(_has_free_keys(each) for each in node.values())
    return isinstance(node, list) and any(_has_free_keys(each) for each in node)


@asynccontextmanager
async def connect(server: Server, transport: str) -> AsyncGenerator[OpenaiAgents]:
    way: Any = (
        MCPServerStdio({"command": server.command, "args": server.args, "env": server.env})
        if transport == "stdio"
        else (MCPServerSse if transport == "sse" else MCPServerStreamableHttp)({"url": server.urls[transport]})
    )
    async with way as connected:
        yield OpenaiAgents(connected)


main("openai-agents", connect, "stdio", "http", "sse")
