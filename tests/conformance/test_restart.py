"""Tasks over Streamable HTTP, spoken by hand, while servers come and go."""

from __future__ import annotations

import asyncio
import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from mlops_mcp.server.task_extension import ID

pytestmark = pytest.mark.slow

VERSION = "2026-07-28"
Served = Callable[[Path], AbstractContextManager[tuple[subprocess.Popen[str], str]]]


async def ask(url: str, method: str, params: dict[str, Any], name: str) -> tuple[int, dict[str, Any]]:
    """The HTTP status and the JSON-RPC answer; `name` is what the Mcp-Name header says."""
    prefix = "io.modelcontextprotocol"
    meta = {f"{prefix}/protocolVersion": VERSION, f"{prefix}/clientCapabilities": {"extensions": {ID: {}}}}
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": meta}}
    headers = {
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": VERSION,
        "Mcp-Method": method,
        "Mcp-Name": name,
    }

    def send() -> tuple[int, str]:
        try:
            with urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), headers)) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    status, text = await asyncio.to_thread(send)
    lines = [line.removeprefix("data:") for line in text.splitlines() if line.startswith("data:")]
    return status, json.loads(lines[-1] if lines else text)


async def create(url: str, seconds: float) -> str:
    params = {"name": "slow_compute", "arguments": {"seconds": seconds}}
    _, answer = await ask(url, "tools/call", params, "slow_compute")
    assert answer["result"]["resultType"] == "task"
    return str(answer["result"]["taskId"])


async def test_a_task_goes_on_while_its_server_is_killed_and_the_next_server_has_its_result(
    fixture_server: Served, tmp_path: Path
) -> None:
    with fixture_server(tmp_path) as (process, url):
        task = await create(url, 2)
        process.kill()
    with fixture_server(tmp_path) as (_, url):
        async with asyncio.timeout(120):
            while (seen := (await ask(url, "tasks/get", {"taskId": task}, task))[1]["result"])["status"] == "working":
                await asyncio.sleep(0.05)
    assert seen["status"] == "completed"
    assert seen["result"]["structuredContent"]["result"] == {"text": "computed for 2 s"}


async def test_a_request_whose_header_names_another_task_is_refused(fixture_server: Served, tmp_path: Path) -> None:
    with fixture_server(tmp_path) as (_, url):
        task = await create(url, 60)
        for method in ("tasks/get", "tasks/cancel"):
            status, answer = await ask(url, method, {"taskId": task}, "another")
            assert (status, answer["error"]["code"]) == (400, -32020)
        _, answer = await ask(url, "tasks/get", {"taskId": task}, task)
        assert answer["result"]["status"] == "working"
        await ask(url, "tasks/cancel", {"taskId": task}, task)
