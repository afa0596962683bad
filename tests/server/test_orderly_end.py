"""A server ends whatever its clients do, and its jobs go on; how fast is measured by `benchmarks/endings.py`."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from mcp import Client

from ..conftest import lives
from ..waiting import eventually
from .conftest import started

pytestmark = pytest.mark.slow

WORK = """
import os, time
from pydantic import BaseModel

class Request(BaseModel):
    folder: str

def forever(work, folder: str) -> str:
    with open(f"{folder}/called.new", "w") as file: file.write(str(os.getpid()))
    os.rename(f"{folder}/called.new", f"{folder}/called")
    while True: pass

def steps(work, request: Request) -> Request:
    open(f"{request.folder}/begun", "w").close()
    while not os.path.exists(f"{request.folder}/go"): time.sleep(0.01)
    open(f"{request.folder}/done", "w").close()
    return request
"""
SERVER = """
import sys
from mlops_mcp.config.load import load
from mlops_mcp.server.transports import serve
from mlops_mcp.tools.runtime.models import JobView
from mlops_mcp.tools.spec import Injected, Toolset, reads, writes
from endless.tools.endless.client import Request, forever, steps

async def hang(context: Injected, folder: str) -> str:
    "Never end."
    return await context.call(forever, folder)

async def begin(context: Injected, folder: str, wait_s: float | None = None) -> JobView[Request]:
    "Begin a job."
    return await context.submit(steps, Request(folder=folder), wait_s)

if __name__ == "__main__":  # workers import this file
    tools = (reads(hang, "Hang"), writes(begin, "Begin", job="long"))
    serve(load(flags={"server.port": 0}).settings, "http", Toolset("data", "Endless.", tools))
"""


@asynccontextmanager
async def endless(environ: dict[str, str], folder: Path) -> AsyncGenerator[tuple[asyncio.subprocess.Process, str]]:
    """A server with a call that never ends and a job that waits, and its address."""
    for path, text in ((folder / "endless" / "tools" / "endless" / "client.py", WORK), (folder / "run.py", SERVER)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("from __future__ import annotations\n" + text)
    async with started("run.py", folder=folder, PYTHONPATH=str(folder), HOME=f"{folder}-user", **environ) as server:
        yield server


async def call(url: str, tool: str, **arguments: Any) -> None:
    """A call that breaks off when its server ends."""
    with suppress(Exception):
        async with Client(url) as client:
            answer = await client.call_tool(tool, arguments)
            assert not answer.is_error, answer.content


async def test_a_server_ends_whatever_its_clients_do_and_its_jobs_go_on(
    environ: dict[str, str], tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack:
        stack.enter_context(suppress(ConnectionError))
        process, url = await stack.enter_async_context(endless(environ, tmp_path))
        host, port = url.split("/")[2].split(":")

        async def connected(sent: str) -> asyncio.StreamReader:
            incoming, out = await asyncio.open_connection(host, int(port))
            out.write(sent.replace("\n", "\r\n").replace("HOST", f"{host}:{port}").encode())
            stack.callback(out.close)
            return incoming

        for half in ("", "GET /sse HT", "POST /mcp HTTP/1.1\nHost: HOST\nContent-Length: 9\n\n{"):
            for _ in range(30):
                await connected(half)
        for _ in range(30):
            stream = await connected("GET /sse HTTP/1.1\nHost: HOST\n\n")
            assert (await stream.readline()).startswith(b"HTTP/1.1 200")
        calls = [
            asyncio.create_task(call(url, "hang", folder=str(tmp_path))),
            asyncio.create_task(call(url, "begin", folder=str(tmp_path), wait_s=50)),
        ]
        async with asyncio.timeout(600):
            await eventually((tmp_path / "called").exists)
            await eventually((tmp_path / "begun").exists)
            process.send_signal(signal.SIGTERM)
            await process.wait()
            caller = int((tmp_path / "called").read_text())
            await eventually(lambda: not lives(caller))
            assert process.returncode == 0
            await asyncio.wait(calls)
            assert not (tmp_path / "done").exists()
            (tmp_path / "go").touch()
            await eventually((tmp_path / "done").exists)


async def test_a_server_that_drains_says_so_and_answers_until_it_is_told_a_second_time(
    environ: dict[str, str], tmp_path: Path
) -> None:
    patient = {**environ, "MLOPS_SERVER__DRAIN_S": "3600"}
    async with endless(patient, tmp_path) as (process, url), Client(url) as client, httpx.AsyncClient() as http:

        async def ready() -> set[int]:
            return {(await http.get(url.replace("/mcp", path))).status_code for path in ("/readyz", "/healthz")}

        assert await ready() == {200}
        running = asyncio.create_task(client.call_tool("begin", {"folder": str(tmp_path), "wait_s": 50}))
        await eventually((tmp_path / "begun").exists)
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(600):
            while await ready() != {503}:
                await asyncio.sleep(0)
            assert (await client.call_tool("list_jobs", {})).structured_content
            (tmp_path / "go").touch()
            assert not (await running).is_error
            assert process.returncode is None
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
