"""The web application in this process, asked as its clients do."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from mlops_mcp.config.settings import Settings
from mlops_mcp.server.access.callers import Callers
from mlops_mcp.server.access.tokens import Tokens
from mlops_mcp.server.app import create_server
from mlops_mcp.server.ending import Ending
from mlops_mcp.server.host import Host
from mlops_mcp.server.web import web_app
from mlops_mcp.tools.runtime.identity import Access
from mlops_mcp.tools.spec import Toolset

from ...conftest import in_a_task_of_its_own
from .provider import Provider

VERSION = "2026-07-28"
TASKS = "io.modelcontextprotocol/tasks"
META = {
    "io.modelcontextprotocol/protocolVersion": VERSION,
    "io.modelcontextprotocol/clientCapabilities": {"extensions": {TASKS: {}}},
}
# What the header Mcp-Name repeats of a request.
NAMED = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}


def answer_of(answer: httpx2.Response) -> dict[str, Any]:
    """The result of a request, or its error."""
    text = answer.text
    if answer.headers["content-type"].startswith("text/event-stream"):
        text = [line for line in text.splitlines() if line.startswith("data: {")][-1].removeprefix("data: ")
    told: dict[str, Any] = json.loads(text)
    return told.get("result") or told["error"]


class Asking:
    """Asks an application over HTTP, as whoever has a token of its."""

    def __init__(self, http: httpx2.AsyncClient, tokens: Tokens) -> None:
        self.http = http
        self.tokens = tokens
        self._numbers = itertools.count(1)

    def bearer(self, name: str, scope: Access) -> dict[str, str]:
        """The header of a new token."""
        return {"Authorization": f"Bearer {self.tokens.make(name, scope)}"}

    async def send(
        self, headers: Mapping[str, str], method: str, params: Mapping[str, Any], meta: Mapping[str, Any] | None = None
    ) -> httpx2.Response:
        body = {"jsonrpc": "2.0", "id": next(self._numbers), "method": method}
        name = {"Mcp-Name": str(params[NAMED[method]])} if method in NAMED else {}
        given = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": VERSION, "Mcp-Method": method}
        asked = {**body, "params": {**params, "_meta": {**META, **(meta or {})}}}
        return await self.http.post("/mcp", json=asked, headers={**given, **name, **headers})

    async def ask(
        self, headers: Mapping[str, str], method: str, meta: Mapping[str, Any] | None = None, **params: Any
    ) -> dict[str, Any]:
        """The result of a request, or its error."""
        return answer_of(await self.send(headers, method, params, meta))

    async def call(self, headers: Mapping[str, str], tool: str, **arguments: Any) -> dict[str, Any]:
        return await self.ask(headers, "tools/call", name=tool, arguments=arguments)


class Door(Asking):
    """The application behind its door, and the server in it."""

    def __init__(self, http: httpx2.AsyncClient, tokens: Tokens, host: Host) -> None:
        super().__init__(http, tokens)
        self.host = host


@asynccontextmanager
async def opened(settings: Settings, *more: Toolset) -> AsyncGenerator[Door]:
    """The application of a server with these settings."""
    server, callers = create_server(settings, *more), Callers(settings)
    app = web_app(server, settings, callers, True, Ending())
    async with server.services.running(), app.router.lifespan_context(app):
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8765", timeout=120) as http:
            yield Door(http, callers.tokens, server)


@pytest.fixture
async def door(settings: Settings) -> AsyncGenerator[Door]:
    async with in_a_task_of_its_own(opened(settings)) as door:
        yield door


@pytest.fixture
def provider() -> Provider:
    return Provider()


@pytest.fixture
def keys_file(provider: Provider, tmp_path: Path) -> str:
    """The keys of the provider, as a file that settings can name."""
    (tmp_path / "keys.json").write_text(provider.keys, encoding="utf-8")
    return str(tmp_path / "keys.json")
