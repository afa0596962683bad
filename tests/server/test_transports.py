"""The three transports, each as the process that a user starts."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import psutil
import pytest
from mcp import Client
from mcp.client.sse import sse_client

from mlops_mcp.tools import wire

from ..conftest import lives
from .conftest import Served
from .handshake import subscribe

pytestmark = pytest.mark.slow

CLIENT = {"name": "test", "version": "1"}
NAMES = [name for names in wire.index().values() for name in names]
StdioClient = Callable[..., AbstractAsyncContextManager[Client]]


async def use(client: Client, tmp_path: Path) -> None:
    """List, call into a worker, and be refused: over every transport the same."""
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n3,4\n")
    assert [tool.name for tool in (await client.list_tools()).tools] == NAMES
    loaded = await client.call_tool("load_dataset", {"path": str(tmp_path / "rows.csv")})
    assert loaded.structured_content
    assert loaded.structured_content["rows"] == 2
    assert (await client.call_tool("load_dataset", {"path": "nowhere.csv"})).is_error


async def test_stdio_serves_the_tools(stdio_client: StdioClient, tmp_path: Path) -> None:
    async with stdio_client() as client:
        await use(client, tmp_path)


async def test_streamable_http_serves_the_tools_and_ends_when_it_is_told_to(served: Served, tmp_path: Path) -> None:
    async with served("http") as (process, url):
        async with Client(url) as client:
            await use(client, tmp_path)
        await ends_on(signal.SIGTERM, process)


async def test_sse_serves_the_tools_and_ends_when_it_is_told_to(served: Served, tmp_path: Path) -> None:
    async with served("sse") as (process, url):
        async with Client(sse_client(url)) as client:
            await use(client, tmp_path)
        await ends_on(signal.SIGTERM, process)


async def test_a_server_that_is_killed_leaves_no_worker_behind(served: Served, tmp_path: Path) -> None:
    async with served("http") as (process, url):
        async with Client(url) as client:
            await use(client, tmp_path)
        assert psutil.Process(process.pid).children(recursive=True)
        await ends_on(signal.SIGKILL, process)


@pytest.mark.parametrize("transport", ["http", "sse"])
async def test_a_server_ends_while_clients_are_connected(served: Served, transport: str, tmp_path: Path) -> None:
    async with served(transport) as (process, url):
        client = Client(url if transport == "http" else sse_client(url), mode="legacy")
        opened = asyncio.Event()

        async def stay() -> None:
            async with client:
                await use(client, tmp_path)
                await subscribe(client, "mlflow://experiments")
                opened.set()
                await asyncio.Event().wait()

        staying = asyncio.create_task(stay())
        async with asyncio.timeout(600):
            await opened.wait()
        await ends_on(signal.SIGTERM, process)
        assert process.returncode == 0
        assert process.stderr
        said = (await process.stderr.read()).decode()
        assert not any(word in said for word in ("Traceback", "without completing", "Cancel"))
        staying.cancel()
        await asyncio.wait([staying])


async def ends_on(number: signal.Signals, process: asyncio.subprocess.Process) -> None:
    """The process and everything it started end; how fast is measured by `benchmarks/endings.py`."""
    family = [process.pid, *(child.pid for child in psutil.Process(process.pid).children(recursive=True))]
    process.send_signal(number)
    async with asyncio.timeout(600):
        await process.wait()
        while any(map(lives, family)):
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stdio_server_ends_when_it_is_told_to(
    environ: dict[str, str], tmp_path: Path, number: signal.Signals
) -> None:
    with started(environ, tmp_path) as server:
        say(server, "initialize", {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": CLIENT})
        assert server.stdout
        assert b'"serverInfo"' in server.stdout.readline()
        server.send_signal(number)
        assert server.wait(120) == 128 + number


def test_a_stdio_server_ends_when_its_client_is_gone(environ: dict[str, str], tmp_path: Path) -> None:
    with started(environ, tmp_path) as server:
        say(server, "initialize", {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": CLIENT})
        assert server.stdout
        assert server.stdin
        server.stdout.readline()
        server.stdin.close()
        assert server.wait(120) == 0


def started(environ: dict[str, str], tmp_path: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "mlops_mcp.server", "serve"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "HOME": f"{tmp_path}-user", **environ},
        cwd=tmp_path,
    )


def say(server: subprocess.Popen[bytes], method: str, params: dict[str, Any]) -> None:
    assert server.stdin
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    server.stdin.write(json.dumps(message).encode() + b"\n")
    server.stdin.flush()


async def test_a_browser_page_from_elsewhere_is_refused(served: Served) -> None:
    async with served("http") as (_, url):

        def ask(**headers: str) -> int:
            request = urllib.request.Request(url, b"{}", {"Content-Type": "application/json", **headers})
            with pytest.raises(urllib.error.HTTPError) as caught:
                urllib.request.urlopen(request, timeout=600)
            caught.value.close()
            return caught.value.code

        assert await asyncio.to_thread(ask, Host="evil.example") == 421
        assert await asyncio.to_thread(ask, Origin="http://evil.example") == 403


def test_a_port_that_is_taken_is_an_error_with_a_remedy(environ: dict[str, str], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            [sys.executable, "-m", "mlops_mcp.server", "serve", "--transport", "http", "--port", port],
            env={"PATH": os.environ["PATH"], "HOME": f"{tmp_path}-user", **environ},
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
    assert done.returncode == 2
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in done.stderr
    assert "choose another with --host or --port" in done.stderr
