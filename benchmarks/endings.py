"""How long jobs, busy workers and servers take to end, and how much a killed writer of traces loses.

`python benchmarks/endings.py [RUNS]` prints the median and the worst of some runs in seconds, beside the limit of each.
That they end at all, and what is left of them, is tested.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import logging
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
from mcp import Client
from mcp.client.sse import sse_client

from mlops_mcp.config.load import load
from mlops_mcp.config.settings import Settings
from mlops_mcp.tools.runtime import proctree
from mlops_mcp.tools.runtime.calls.executor import CallExecutor
from mlops_mcp.tools.runtime.jobs.launch import mark_of
from mlops_mcp.tools.runtime.jobs.queue import Jobs
from mlops_mcp.tools.runtime.jobs.submission import Submission
from mlops_mcp.tools.runtime.models import ENDED
from mlops_mcp.tools.tracing.store.reader import TraceReader

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.tools.runtime.outcomes import SOURCE

RUNS = 5
KINDS = ("loop", "boost", "sleep", "family")
BUSY = """
def forever(work, path):
    open(path, "w").close()
    while True: pass
"""
WRITER = """
import sys, time
from pathlib import Path
from mlops_mcp.tools.tracing.span import Tracer
from mlops_mcp.tools.tracing.store.writer import TraceStore

store = TraceStore(Path(sys.argv[1]), 64)
tracer = Tracer(store.put)
while True:
    with tracer.span("call", "tool", input={"x": "y" * 500}) as span:
        pass
    print(span.id, time.time(), flush=True)
    time.sleep(0.002)
"""
Measure = Callable[[Path], Awaitable[float]]


def main() -> int:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else RUNS
    logging.disable(logging.CRITICAL)  # clients complain when their server ends
    print(f"{'':<52}{'median s':>10}{'worst s':>10}{'limit s':>10}")
    verdicts = [line(name, limit_s, measure, runs) for name, limit_s, measure in table()]
    return 0 if all(verdicts) else 1


def table() -> list[tuple[str, float, Measure]]:
    """Name, limit and measurement of every row."""
    return [
        *((f"cancelled {kind}: no process is left", 2.0, _job(kind, cancelled)) for kind in KINDS),
        ("killed keeper: no process is left", 2.0, _job("family", killed)),
        ("killed keeper of work of once: it is lost", 2.0, _job("leaves", lost)),
        ("busy worker: the pool is closed", 2.0, closed_pool),
        *((f"SIGTERM on {each}: the server has ended", 2.0, _server(each, signal.SIGTERM)) for each in ("http", "sse")),
        ("SIGTERM while 200 clients send half or only listen", 10.0, _server("http", signal.SIGTERM, crowd=50)),
        *((f"stdio {name}: the server has ended", 2.0, _stdio(number)) for number, name in (
            (signal.SIGTERM, "SIGTERM"), (signal.SIGINT, "SIGINT"), (None, "without its client"),
        )),
        ("stdio while Opik hangs: the server has ended", 1.0, _stdio(None, hanging=True)),
        ("killed writer of traces: age of the oldest lost span", 0.25, killed_writer),
    ]  # fmt: skip


def line(name: str, limit_s: float, measure: Measure, runs: int) -> bool:
    taken: list[float] = []
    for _ in range(runs):
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            taken.append(asyncio.run(measure(Path(folder))))
    worst = max(taken)
    late = "" if worst < limit_s else "  over the limit"
    print(f"{name:<52}{statistics.median(taken):>10.3f}{worst:>10.3f}{limit_s:>10g}{late}", flush=True)
    return worst < limit_s


def settings_for(folder: Path) -> Settings:
    return load({"MLOPS_HOME": str(folder / "home"), "MLOPS_CONFIG": os.devnull}, {"runtime.job_slots": 1}).settings


def slice_of(folder: Path, name: str, source: str) -> Any:
    """A slice like any other, so that workers and jobs can import it."""
    file = folder / "lib" / name / "tools" / name / "client.py"
    file.parent.mkdir(parents=True)
    file.write_text("from __future__ import annotations\n" + source, encoding="utf-8")
    os.environ["PYTHONPATH"] = str(folder / "lib")
    sys.path.insert(0, str(folder / "lib"))
    importlib.invalidate_caches()
    for known in [known for known in sys.modules if known.split(".")[0] == name]:
        del sys.modules[known]
    return importlib.import_module(f"{name}.tools.{name}.client")


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await asyncio.sleep(0.005)


def _job(kind: str, end: Callable[[Jobs, str], Awaitable[None]]) -> Measure:
    async def measure(folder: Path) -> float:
        hard = slice_of(folder, "hard", SOURCE)
        jobs = Jobs(settings_for(folder))
        row = await jobs.submit(
            Submission("x", getattr(hard, kind), hard.Request(folder=str(folder)), once=end is lost)
        )
        await until((folder / "log").exists)
        began = time.perf_counter()
        await end(jobs, row.id)
        return time.perf_counter() - began

    return measure


async def cancelled(jobs: Jobs, job: str) -> None:
    await jobs.cancel(job)
    await until(lambda: not proctree.marked(mark_of(job, 1)))


async def killed(jobs: Jobs, job: str) -> None:
    os.kill((await jobs.get(job)).pid, signal.SIGKILL)
    while proctree.marked(mark_of(job, 1)):
        await jobs.reconcile()
    await jobs.cancel(job)  # it would be done again


async def lost(jobs: Jobs, job: str) -> None:
    os.kill((await jobs.get(job)).pid, signal.SIGKILL)
    while (await jobs.get(job)).state not in ENDED:
        await jobs.reconcile()


async def closed_pool(folder: Path) -> float:
    busy = slice_of(folder, "busy", BUSY)
    pool = CallExecutor(settings_for(folder), lambda _span: None)
    call = asyncio.ensure_future(pool.call("busy", busy.forever, str(folder / "began")))
    await until((folder / "began").exists)
    began = time.perf_counter()
    await asyncio.to_thread(pool.close)
    taken = time.perf_counter() - began
    call.cancel()
    await asyncio.wait([call])
    return taken


@asynccontextmanager
async def served(folder: Path, *arguments: str, **variables: str) -> AsyncGenerator[asyncio.subprocess.Process]:
    """A server in a process of its own."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "MLOPS_HOME": str(folder / "home"), **variables}
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "mlops_mcp.server", "serve", *arguments),
        env=environment, cwd=folder, stdin=pipe, stdout=pipe, stderr=pipe,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def ending(process: asyncio.subprocess.Process, end: Callable[[], object]) -> float:
    """From the word to the end of the process and of everything that it has started but the shipper of its traces."""
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    family = [each for each in family if "shipper" not in " ".join(each.cmdline())]
    began = time.perf_counter()
    end()
    await process.wait()
    await asyncio.to_thread(psutil.wait_procs, family)
    return time.perf_counter() - began


# Requests that never arrive whole, and a stream that is only listened to.
HALVES = ("", "GET /sse HT", "POST /mcp HTTP/1.1\r\nHost: HOST\r\nContent-Length: 9\r\n\r\n{")
LISTENING = "GET /sse HTTP/1.1\r\nHost: HOST\r\n\r\n"


def _server(transport: str, number: signal.Signals, crowd: int = 0) -> Measure:
    """With so many connections of each kind that do nothing."""

    async def measure(folder: Path) -> float:
        async with served(folder, "--transport", transport, "--port", "0") as process:
            assert process.stderr
            url = re.findall(r"http://\S+", (await process.stderr.readline()).decode())[0]
            host, port = url.split("/")[2].split(":")
            for text in (*HALVES, LISTENING) * crowd:
                _, out = await asyncio.open_connection(host, int(port))
                out.write(text.replace("HOST", f"{host}:{port}").encode())
            connected, leave = asyncio.Event(), asyncio.Event()

            async def stay() -> None:
                async with Client(url if transport == "http" else sse_client(url), mode="legacy") as client:
                    await client.call_tool("list_datasets", {})
                    connected.set()
                    await leave.wait()

            staying = asyncio.create_task(stay())
            await connected.wait()
            taken = await ending(process, lambda: process.send_signal(number))
            staying.cancel()
            await asyncio.wait([staying])
            return taken

    return measure


def _stdio(number: signal.Signals | None, hanging: bool = False) -> Measure:
    async def measure(folder: Path) -> float:
        accepted = asyncio.Event()
        opik = await asyncio.start_server(lambda _reader, _writer: accepted.set(), "127.0.0.1", 0)
        address = f"http://127.0.0.1:{opik.sockets[0].getsockname()[1]}/api"
        async with served(folder, **({"OPIK_URL_OVERRIDE": address} if hanging else {})) as process:
            assert process.stdin
            await ask(process, 1, "initialize", protocolVersion="2025-11-25", capabilities={}, clientInfo=CLIENT)
            await ask(process, 2, "tools/call", name="list_jobs", arguments={})
            if hanging:
                await accepted.wait()
                await ask(process, 3, "tools/call", name="list_jobs", arguments={})
            taken = await ending(process, lambda: process.send_signal(number) if number else process.stdin.close())
        opik.close()
        return taken

    return measure


CLIENT = {"name": "endings", "version": "1"}


async def ask(process: asyncio.subprocess.Process, number: int, method: str, **params: Any) -> None:
    assert process.stdin
    assert process.stdout
    message = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
    process.stdin.write(json.dumps(message).encode() + b"\n")
    await process.stdin.drain()
    while json.loads(await process.stdout.readline()).get("id") != number:
        pass


async def killed_writer(folder: Path) -> float:
    """How long before its death a span was closed that is not in the store."""
    command = [sys.executable, "-c", WRITER, str(folder / "traces.db")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout
        lines = [writer.stdout.readline() for _ in range(500)]
        writer.kill()
        died = time.time()
        lines += writer.stdout.readlines()
    reader = TraceReader(folder / "traces.db")
    kept = {span.id for trace in reader.traces(5000, 0) for span in reader.spans(trace.trace_id)}
    made = dict(each.split() for each in lines if each.endswith("\n"))
    return max((died - float(at) for identity, at in made.items() if identity not in kept), default=0.0)


if __name__ == "__main__":
    raise SystemExit(main())
