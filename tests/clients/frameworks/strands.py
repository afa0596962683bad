"""Strands, whose tools are those of Amazon Bedrock."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from botocore.session import Session
from botocore.validate import ParamValidator
from mcp import StdioServerParameters, stdio_client
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamablehttp_client
from strands.tools.mcp import MCPClient

from .content import failures, prompted, resourced
from .steps import Outcome, Server, main


class Strands:
    patience = 10

    def __init__(self, client: MCPClient) -> None:
        self.client = client

    def tools(self) -> list[str]:
        return [tool.tool_name for tool in self.client.list_tools_sync()]

    def convert(self) -> dict[str, str]:
        tools = [tool.mcp_tool for tool in self.client.list_tools_sync()]
        specs = {tool.tool_name: tool.tool_spec for tool in self.client.list_tools_sync()}
        operation = Session().get_service_model("bedrock-runtime").operation_model("Converse").input_shape

        def check(tool: Any) -> None:
            spec = {key: specs[tool.name][key] for key in ("name", "description", "inputSchema")}  # as its BedrockModel
            request = {"modelId": "a-model", "messages": [], "toolConfig": {"tools": [{"toolSpec": spec}]}}
            if (report := ParamValidator().validate(request, operation)).has_errors():
                raise ValueError(report.generate_report())

        return failures(check, tools)

    def call(self, name: str, arguments: dict[str, Any]) -> Outcome:
        result = self.client.call_tool_sync("1", name, arguments)
        text = "\n".join(part["text"] for part in result["content"] if "text" in part)
        return Outcome(text, result["status"] == "error", any("image" in part for part in result["content"]))

    def read(self, uri: str) -> str:
        return resourced(self.client.read_resource_sync(uri))

    def prompt(self, name: str, arguments: dict[str, str]) -> str:
        return prompted(self.client.get_prompt_sync(name, arguments))


@contextmanager
def connect(server: Server, transport: str) -> Generator[Strands]:
    def way() -> Any:
        if transport == "stdio":
            return stdio_client(StdioServerParameters(command=server.command, args=server.args, env=server.env))
        return (sse_client if transport == "sse" else streamablehttp_client)(server.urls[transport])

    with MCPClient(way) as client:
        yield Strands(client)


main("strands-agents", connect, "stdio", "http", "sse")
