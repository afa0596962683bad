"""The tools of one agent as the SDK runs them: calls of our server, below the agent's span."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from mcp import Client, MCPError
from mcp.types import CONNECTION_CLOSED, CallToolResult, ImageContent, RequestParamsMeta, TextContent
from mcp.types import Tool as WireTool

from ...tools.tracing.mentions import handles_in
from .outcome import Report

# A call waits as long as its server bears; this is for a server that is dead.
CALL_S = 900.0
MAX_HANDLES = 200
Told = Callable[[str, Mapping[str, Any]], None]


@dataclass
class Toolbox:
    """What an agent may call. It stands in for the session that the SDK's helper calls tools of.

    Args:
        meta: of each call, so that it hangs below the agent's span.
        told: hears of each call before it is made.
        lost: why the server cannot be called any more.
    """

    client: Client
    report: Report
    meta: dict[str, str]
    told: Told
    lost: str = ""
    known: set[str] = field(default_factory=set[str])

    async def call_tool(self, name: str, arguments: dict[str, Any]) -> CallToolResult:
        """Call a tool; what the model cannot read of the answer, such as links, is left out.

        Raises:
            ToolError: the request itself was refused, which the model is told.
        """
        from anthropic.lib.tools import ToolError

        self.told(name, arguments)
        self.report.calls += 1
        try:
            result = await self._called(name, arguments)
        except MCPError as error:
            self.report.failed_calls += 1
            self.lost = str(error) if error.error.code == CONNECTION_CLOSED else ""
            raise ToolError(f"{name}: {error}") from error
        self.report.failed_calls += result.is_error or False
        if not result.is_error:
            self._note(result.structured_content)
        legible = [block for block in result.content if isinstance(block, TextContent | ImageContent)]
        return result.model_copy(update={"content": legible})

    async def _called(self, name: str, arguments: dict[str, Any]) -> CallToolResult:
        meta = cast(RequestParamsMeta, self.meta)
        return await self.client.call_tool(name, arguments, read_timeout_seconds=CALL_S, meta=meta)

    def _note(self, found: Any) -> None:
        for handle in handles_in(found):
            held = self.report.decisions if handle.startswith("decision:") else self.report.handles
            if handle not in self.known and len(held) < MAX_HANDLES:
                self.known.add(handle)
                held.append(handle)

    def runnable(self, offered: Sequence[WireTool], wanted: Sequence[str]) -> list[Any]:
        """The wanted ones of the server's tools, in that order, as the SDK's runner takes them."""
        from anthropic.lib.tools.mcp import async_mcp_tool

        by_name = {tool.name: tool for tool in offered}
        session = cast(Any, self)
        return [async_mcp_tool(by_name[name], session) for name in wanted if name in by_name]
