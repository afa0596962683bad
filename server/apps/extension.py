"""The MCP Apps extension: who declares it is told which app draws a tool's answer; others see no difference."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Any

from mcp.server.apps import APP_MIME_TYPE, Apps, client_supports_apps
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.extension import ResourceBinding
from mcp.server.mcpserver.resources import FunctionResource

from .pages import APPS, app_of, page

SCHEME = "ui://"


class DrawnTools(Apps):
    """The apps of the tools that are published; their files are put together when one is read."""

    def __init__(self, tools: Container[str]) -> None:
        super().__init__()
        self._shown = [app for app in APPS.values() if any(tool in tools for tool in app.tools)]

    def resources(self) -> Sequence[ResourceBinding]:
        return [ResourceBinding(resource=_resource(app.name, app.uri, app.title)) for app in self._shown]


def _resource(name: str, uri: str, title: str) -> FunctionResource:
    return FunctionResource(
        uri=uri, name=f"app-{name}", title=title, mime_type=APP_MIME_TYPE, fn=lambda: page(name),
        meta={"ui": {"csp": {}, "prefersBorder": False}},
    )  # fmt: skip


async def tell_apps(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
    """Middleware: names the apps in the list of tools, for who can show them."""
    answer = await call_next(ctx)
    if ctx.method != "tools/list" or not isinstance(answer, Mapping) or not client_supports_apps(ctx):
        return answer
    return {**answer, "tools": [_told(tool) for tool in answer["tools"]]}


def _told(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    app = app_of(str(tool["name"]))
    if app is None:
        return tool
    meta = tool.get("_meta") or {}
    return {**tool, "_meta": {**meta, "ui": {"resourceUri": app.uri}}}
