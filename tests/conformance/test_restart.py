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
from typing import Any, Literal

import pytest
from mcp import Client

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
        async with asyncio.timeout(600):
            while (seen := (await ask(url, "tasks/get", {"taskId": task}, task))[1]["result"])["status"] == "working":
                await asyncio.sleep(0.05)
    assert seen["status"] == "completed"
    assert seen["result"]["structuredContent"]["result"] == {"text": "computed for 2 s"}


async def test_a_job_goes_on_while_its_server_is_told_to_end_with_calls_and_streams_open(
    fixture_server: Served, tmp_path: Path
) -> None:
    async def call(url: str, mode: Literal["legacy", "auto"]) -> None:
        async with Client(url, mode=mode) as client:
            opened.append(url)
            await client.call_tool("slow_compute", {"seconds": 5, "label": mode})

    async def listen(url: str) -> None:
        async with Client(url) as client, client.listen(resource_subscriptions=["mlflow://experiments"]) as heard:
            opened.append(url)
            ended.extend([str(event) async for event in heard] or ["in order"])

    opened: list[str] = []
    ended: list[str] = []
    with fixture_server(tmp_path) as (process, url):
        started = [asyncio.create_task(each) for each in (call(url, "legacy"), call(url, "auto"), listen(url))]
        async with asyncio.timeout(600):
            while len(opened) < 3 or not (jobs := await running(url, 2)):
                await asyncio.sleep(0.05)
        process.terminate()
        assert await asyncio.to_thread(process.wait, 120) == 0
        await asyncio.gather(*started, return_exceptions=True)
    assert ended == ["in order"]
    with fixture_server(tmp_path) as (_, url):
        async with Client(url) as client, asyncio.timeout(600):
            for job in jobs:
                while (seen := (await client.call_tool("get_job", {"job": job, "wait_s": 20})).structured_content) and (
                    seen["state"] in ("queued", "running")
                ):
                    continue
                assert (seen or {})["result"] == {"text": "computed for 5 s"}


async def running(url: str, least: int) -> list[str]:
    """The jobs that run, once there are so many."""
    async with Client(url) as client:
        listed = (await client.call_tool("list_jobs", {"state": "running"})).structured_content or {}
    jobs = [item["job"] for item in listed["items"]]
    return jobs if len(jobs) >= least else []


async def test_a_request_whose_header_names_another_task_is_refused(fixture_server: Served, tmp_path: Path) -> None:
    with fixture_server(tmp_path) as (_, url):
        task = await create(url, 60)
        for method in ("tasks/get", "tasks/cancel"):
            status, answer = await ask(url, method, {"taskId": task}, "another")
            assert (status, answer["error"]["code"]) == (400, -32020)
        _, answer = await ask(url, "tasks/get", {"taskId": task}, task)
        assert answer["result"]["status"] == "working"
        await ask(url, "tasks/cancel", {"taskId": task}, task)
