"""CrewAI's adapter: it sends null for every argument that a model leaves out."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from crewai.tools.structured_tool import CrewStructuredTool
from crewai.utilities.agent_utils import convert_tools_to_openai_schema
from crewai_tools import MCPServerAdapter
from mcp import StdioServerParameters

from .steps import Outcome, Server, main


class CrewaiTools:
    patience = 10

    def __init__(self, tools: Any) -> None:
        self.found = {tool.name: tool for tool in tools}

    def tools(self) -> list[str]:
        return list(self.found)

    def convert(self) -> dict[str, str]:
        failed = {}
        for name, tool in self.found.items():
            try:
                convert_tools_to_openai_schema([tool])
            except Exception as caught:  # whatever a framework raises is what is asked for
                failed[name] = str(caught)
        return failed

    def call(self, name: str, arguments: dict[str, Any]) -> Outcome:
        structured: CrewStructuredTool = self.found[name].to_structured_tool()
        answer = structured.invoke(arguments)
        if type(answer).__name__ == "ToolFailure":
            return Outcome(answer.message, failed=True)
        return Outcome(str(answer))


@contextmanager
def connect(server: Server, transport: str) -> Generator[CrewaiTools]:
    way: Any = (
        StdioServerParameters(command=server.command, args=server.args, env=server.env)
        if transport == "stdio"
        else {"transport": {"http": "streamable-http"}.get(transport, transport), "url": server.urls[transport]}
    )
    with MCPServerAdapter(way, connect_timeout=60) as tools:
        yield CrewaiTools(tools)


if __name__ == "__main__":
    main("crewai-tools", connect, "stdio", "http", "sse")
