"""Both HTTP transports of one server: who may ask, who is served at the same time, and what is sent to break it."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
from mcp import Client
from mcp.client.sse import sse_client
from mcp.shared.message import SessionMessage
from mcp.types import JSONRPCRequest, JSONRPCResponse

from mlops_mcp.tools import wire

from .handshake import subscribe

pytestmark = pytest.mark.slow

PAGE, ELSEWHERE = "https://app.example.org", "https://evil.example"
COUNT = len([name for names in wire.index().values() for name in names])
ACCEPT = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}
HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
CARD = "mlflow://experiments"


class Web:
    """A server that serves both, asked by hand."""

    def __init__(self, process: subprocess.Popen[str], http_url: str, sse_url: str) -> None:
        self.process = psutil.Process(process.pid)
        self.http_url = http_url
        self.sse_url = sse_url
        self.host = urlsplit(http_url).netloc

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, str], str]:
        """Status, headers and body; `_` in the name of a header stands for a hyphen."""
        connection = http.client.HTTPConnection(self.host, timeout=600)
        try:
            sent = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
            connection.request(method, path, sent, {name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read().decode()
        finally:
            connection.close()

    def modern(self, method: str, params: dict[str, Any] | None = None, **headers: str) -> tuple[int, Any]:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**(params or {}), "_meta": META}}
        given = {**ACCEPT, "MCP-Protocol-Version": "2026-07-28", "Mcp-Method": method, **headers}
        status, _, text = self.ask("POST", "/mcp", body, **given)
        return status, json.loads(text)


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Generator[Web]:
    folder = tmp_path_factory.mktemp("web")
    (folder / "mlops.yaml").write_text(f"server:\n  cors_origins: [{PAGE}]\n")
    with subprocess.Popen(
        [sys.executable, "-m", "mlops_mcp.server", "serve", "--transport", "http", "--port", "0"],
        env={
            "PATH": os.environ["PATH"],
            "HOME": f"{folder}-user",
            "MLOPS_HOME": str(folder / "home"),
            "MLOPS_CONFIG": str(folder / "mlops.yaml"),
            "MLOPS_RUNTIME__PRELOAD": "false",
        },
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr
        line = process.stderr.readline()
        log: list[str] = []
        threading.Thread(target=lambda: log.extend(process.stderr or ()), daemon=True).start()
        http_url, sse_url = re.findall(r"http://\S+", line)
        try:
            yield Web(process, http_url, sse_url)
        finally:
            process.terminate()
            assert process.wait(120) == 0
    assert "Traceback" not in "".join(log)


PREFLIGHT = {"Access_Control_Request_Method": "POST", "Access_Control_Request_Headers": "mcp-param-region"}


@pytest.mark.parametrize("path", ["/mcp", "/sse", "/messages/", "/nothing"])
def test_a_browser_page_may_ask_if_it_is_listed_or_of_this_machine_whatever_the_path(web: Web, path: str) -> None:
    for origin in (PAGE, "http://localhost:3000", "http://127.0.0.1:1", f"http://{web.host}"):
        status, headers, _ = web.ask("OPTIONS", path, Origin=origin, **PREFLIGHT)
        assert (status, headers["access-control-allow-origin"]) == (200, origin)
        assert headers["access-control-allow-headers"] == "mcp-param-region"
        assert headers["access-control-allow-methods"] == "GET, POST, DELETE"
    for origin in (ELSEWHERE, f"{PAGE}.evil.example", "http://localhost.evil.example", "null"):
        for method in ("OPTIONS", "GET", "POST"):
            status, headers, _ = web.ask(method, path, Origin=origin, **ACCEPT, **PREFLIGHT)
            assert (status, "access-control-allow-origin" in headers) == (403, False)
    for method in ("OPTIONS", "GET", "POST", "DELETE"):
        assert web.ask(method, path, Host="evil.example", **ACCEPT)[0] == 421
    status, headers, body = web.ask("OPTIONS", path)
    assert (status, headers["allow"], body) == (204, "GET, POST, DELETE, OPTIONS", "")
    assert "mcp-session-id" not in headers


def test_a_page_can_read_the_headers_of_the_protocol(web: Web) -> None:
    hello = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": HELLO}
    status, headers, _ = web.ask("POST", "/mcp", hello, Origin=PAGE, **ACCEPT)
    assert (status, headers["access-control-allow-origin"]) == (200, PAGE)
    assert headers["access-control-expose-headers"] == "Mcp-Session-Id, MCP-Protocol-Version, WWW-Authenticate"
    assert headers["mcp-session-id"]


def test_blanks_around_a_header_do_not_count(web: Web) -> None:
    call = {"name": "list_datasets", "arguments": {}}
    for name in ("list_datasets", "  list_datasets", "list_datasets \t "):
        status, answer = web.modern("tools/call", call, Mcp_Name=name)
        assert (status, answer["result"]["structuredContent"]["total"]) == (200, 0)
    status, answer = web.modern("tools/call", call, Mcp_Name="list datasets")
    assert (status, answer["error"]["code"]) == (400, -32020)


async def test_clients_of_both_eras_over_both_transports_are_served_by_one_process_at_once(web: Web) -> None:
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(
                Client(web.http_url if over == "http" else sse_client(web.sse_url), mode=mode)
            )
            for over in ("http", "sse")
            for mode in ("legacy", "auto")
        ]
        assert [client.protocol_version for client in clients] == ["2025-11-25", "2026-07-28"] * 2
        listed = await asyncio.gather(*(client.list_tools() for client in clients * 3))
        assert [len(answer.tools) for answer in listed] == [COUNT] * 12
        called = await asyncio.gather(*(client.call_tool("list_datasets", {}) for client in clients * 3))
        assert [(answer.structured_content or {})["total"] for answer in called] == [0] * 12


async def test_a_client_that_probes_and_falls_back_is_served_over_sse_and_http(web: Web) -> None:
    probe = JSONRPCRequest(jsonrpc="2.0", id=1, method="server/discover", params={"_meta": META})
    hello = JSONRPCRequest(jsonrpc="2.0", id=2, method="initialize", params=HELLO)
    async with sse_client(web.sse_url) as (read, write), asyncio.timeout(600):
        for request in (probe, hello):  # it does not wait for the first answer
            await write.send(SessionMessage(request))
        answers: dict[Any, Any] = {}
        while len(answers) < 2:
            item = await read.receive()
            assert isinstance(item, SessionMessage)
            assert isinstance(item.message, JSONRPCResponse)
            answers[item.message.id] = item.message.result
        assert "2026-07-28" in answers[1]["supportedVersions"]
        assert answers[2]["protocolVersion"] == "2025-11-25"
        await write.send(SessionMessage(JSONRPCRequest(jsonrpc="2.0", id=3, method="tools/list")))
        listed = await read.receive()
        assert isinstance(listed, SessionMessage)
        assert isinstance(listed.message, JSONRPCResponse)
        assert len(listed.message.result["tools"]) == COUNT

    assert web.modern("server/discover")[0] == 200
    status, headers, _ = web.ask("POST", "/mcp", hello.model_dump(mode="json"), **ACCEPT)
    assert (status, bool(headers["mcp-session-id"])) == (200, True)


def test_what_is_no_request_is_refused_by_its_status(web: Web) -> None:
    listing = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": META}}
    old = {"MCP_Protocol_Version": "2025-11-25", **ACCEPT}
    new = {"MCP_Protocol_Version": "2026-07-28", "Mcp_Method": "tools/list", **ACCEPT}
    batch = [listing] * 2000
    refused: list[tuple[int, str, str, Any, dict[str, str]]] = [
        (406, "POST", "/mcp", listing, {**new, "Accept": "text/html"}),
        (406, "POST", "/mcp", listing, {**old, "Accept": "application/json"}),
        (400, "POST", "/mcp", listing, {**new, "Content-Type": "text/plain"}),
        (400, "POST", "/mcp", batch, new),
        (400, "POST", "/mcp", batch, old),
        (400, "POST", "/mcp", b'{"jsonrpc":"2.0","id":1,"met', new),
        (400, "POST", "/mcp", b"[" * 100_000, new),
        (400, "POST", "/mcp", b"", old),
        (413, "POST", "/mcp", b" " * (5 << 20), new),
        (413, "POST", "/messages/?session_id=" + "0" * 32, b" " * (5 << 20), old),
        (405, "GET", "/mcp", None, new),
        (400, "GET", "/mcp", None, old),
        (404, "DELETE", "/mcp", None, {**old, "Mcp_Session_Id": "nobody"}),
        (404, "POST", "/mcp", listing, {**old, "Mcp_Session_Id": "nobody"}),
        (400, "POST", "/messages/", listing, old),
        (400, "POST", "/messages/?session_id=x", listing, old),
        (404, "POST", "/messages/?session_id=" + "0" * 32, listing, old),
        (405, "GET", "/messages/", None, old),
        (405, "POST", "/sse", listing, old),
        (404, "GET", "/../mcp", None, old),
    ]
    for status, method, path, body, headers in refused:
        assert (path, web.ask(method, path, body, **headers)[0]) == (path, status)
    status, answer = web.modern("tools/nothing")
    assert (status, answer["error"]["code"]) == (404, -32601)
    assert web.modern("tools/list")[0] == 200


async def test_nothing_is_left_of_clients_that_go_without_a_word(web: Web) -> None:
    before = web.process.num_fds()
    host, port = web.host.split(":")
    for _ in range(50):  # half a request each
        with socket.create_connection((host, int(port))) as half:
            half.sendall(b"POST /mcp HTTP/1.1\r\nHost: " + web.host.encode() + b"\r\nContent-Length: 100\r\n\r\n{")
    for make in (lambda: sse_client(web.sse_url), lambda: web.http_url):
        async with AsyncExitStack() as stack:
            for number in range(12):
                client = await stack.enter_async_context(
                    Client(make(), mode="legacy" if number % 2 else "auto", read_timeout_seconds=120)
                )
                if number % 2:
                    await subscribe(client, CARD)
                else:
                    await stack.enter_async_context(client.listen(resource_subscriptions=[CARD]))
            assert web.process.num_fds() > before
    async with asyncio.timeout(600):
        while web.process.num_fds() > before + 2:  # the helper threads of the server may have opened a file meanwhile
            await asyncio.sleep(0.05)
    assert web.modern("tools/list")[0] == 200
