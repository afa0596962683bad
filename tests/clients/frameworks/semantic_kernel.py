"""Semantic Kernel's plugins: each tool is a function of a kernel."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from semantic_kernel import Kernel
from semantic_kernel.connectors.ai.function_calling_utils import kernel_function_metadata_to_function_call_format
from semantic_kernel.connectors.mcp import MCPSsePlugin, MCPStdioPlugin, MCPStreamableHttpPlugin
from semantic_kernel.exceptions import KernelException

from .content import failures
from .steps import Outcome, Server, main


class SemanticKernel:
    patience = 10

    def __init__(self, plugin: Any) -> None:
        self.kernel = Kernel()
        self.plugin = plugin
        self.functions = self.kernel.add_plugin(plugin, "server").functions

    async def tools(self) -> list[str]:
        return list(self.functions)

    async def convert(self) -> dict[str, str]:
        return failures(_whole, self.functions.values())

    async def call(self, name: str, arguments: dict[str, Any]) -> Outcome:
        try:
            result = await self.kernel.invoke(plugin_name="server", function_name=name, **arguments)
        except KernelException as error:
            return Outcome(_chain(error), failed=True)
        parts = result.value if result and isinstance(result.value, list) else []
        text = "\n".join(part.text for part in parts if getattr(part, "text", None))
        return Outcome(text, False, any(type(part).__name__ == "ImageContent" for part in parts))

    async def prompt(self, name: str, arguments: dict[str, str]) -> str:
        return "\n".join(str(each) for each in await self.plugin.get_prompt(name, **arguments))


def _whole(function: Any) -> None:
    if "$ref" in json.dumps(kernel_function_metadata_to_function_call_format(function.metadata)):
        raise ValueError("a reference points at a definition that is not sent")


def _chain(error: BaseException | None) -> str:
    return f"{error} {_chain(error.__cause__)}" if error else ""


@asynccontextmanager
async def connect(server: Server, transport: str) -> AsyncGenerator[SemanticKernel]:
    way: Any = (
        MCPStdioPlugin("server", server.command, args=server.args, env=server.env)
        if transport == "stdio"
        else (MCPSsePlugin if transport == "sse" else MCPStreamableHttpPlugin)("server", server.urls[transport])
    )
    async with way as plugin:
        yield SemanticKernel(plugin)


main("semantic-kernel", connect, "stdio", "http", "sse")
