"""What tracing adds to a call over stdio: with no Opik, with one that answers, one that is down and one that hangs.

`python benchmarks/tracing.py [CALLS]` runs a server for each case, and one without tracing to compare with. The servers
are called in turn, so that whatever else the machine does falls on all alike. What a span costs its own process is
measured as well: the difference between two servers is smaller than the noise of a busy machine.
"""

from __future__ import annotations

import asyncio
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

from mcp import Client, StdioServerParameters

from mlops_mcp.tools.tracing.opik.outbox import status
from mlops_mcp.tools.tracing.span import Tracer
from mlops_mcp.tools.tracing.store.writer import TraceStore

CALLS = 1000
WARM = 50
LIMIT_MS = 0.5
OPIK = """
import sys, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Opik(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        if sys.argv[1] == "hang":
            threading.Event().wait()
        self.send_response(204)
        self.send_header("Content-Length", "0")
        self.end_headers()
    do_PUT = do_POST
    def log_message(self, *_):
        pass

server = ThreadingHTTPServer(("127.0.0.1", 0), Opik)
print(server.server_address[1], flush=True)
server.serve_forever()
"""


def main() -> int:
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else CALLS
    with tempfile.TemporaryDirectory() as folder, opik("ok") as up, opik("hang") as hung, closed_port() as down:
        cases = {
            "off": {"MLOPS_TRACING__ENABLED": "false"},
            "absent": {},
            "up": {"OPIK_URL_OVERRIDE": f"http://127.0.0.1:{up}/api"},
            "down": {"OPIK_URL_OVERRIDE": f"http://127.0.0.1:{down}/api"},
            "hung": {"OPIK_URL_OVERRIDE": f"http://127.0.0.1:{hung}/api"},
        }
        taken = asyncio.run(measure(Path(folder), cases, calls))
        middle, high = quantiles(spans(Path(folder) / "spans.db", calls))
    code = report(taken)
    print(f"one span of 1 KB in and 1 KB out, in the process itself: p50 {middle:.3f} ms, p99 {high:.3f} ms")
    return code


def spans(store: Path, number: int) -> list[float]:
    """Milliseconds of opening and closing a span, at 200 a second."""
    kept = TraceStore(store, 64)
    tracer = Tracer(kept.put)
    content = {f"column_{count}": "x" * 40 for count in range(20)}
    taken: list[float] = []
    for _ in range(number):
        began = time.perf_counter()
        with tracer.span("call", "tool", input=content, method="tools/call") as span:
            span.set_output(content)
        taken.append((time.perf_counter() - began) * 1000)
        time.sleep(0.005)
    kept.close()
    return taken


async def measure(folder: Path, cases: Mapping[str, Mapping[str, str]], calls: int) -> dict[str, list[float]]:
    """Milliseconds of every call, by case."""
    taken: dict[str, list[float]] = {name: [] for name in cases}
    async with AsyncExitStack() as stack:
        clients = {
            name: await stack.enter_async_context(serving(folder / name, given)) for name, given in cases.items()
        }
        for client in clients.values():
            for _ in range(WARM):
                await client.call_tool("list_jobs", {})
        await settled(folder)
        for number in range(calls):
            for name in (*list(clients)[number % len(clients) :], *list(clients)[: number % len(clients)]):
                began = time.perf_counter()
                await clients[name].call_tool("list_jobs", {})
                taken[name].append((time.perf_counter() - began) * 1000)
    return taken


async def settled(folder: Path) -> None:
    """Until the shippers have imported what they need: that is work of once per server, not per call."""
    async with asyncio.timeout(60):
        while not (
            status(folder / "up" / "traces.db").last_success
            and status(folder / "down" / "traces.db").last_failure
            and status(folder / "hung" / "traces.db").last_failure
        ):
            await asyncio.sleep(0.2)


@asynccontextmanager
async def serving(home: Path, given: Mapping[str, str]) -> AsyncGenerator[Client]:
    variables = {"PATH": os.environ["PATH"], "HOME": str(home), "MLOPS_HOME": str(home), **given}
    command = ["-m", "mlops_mcp.server", "serve", "--toolset", "jobs"]
    home.mkdir()
    async with Client(StdioServerParameters(command=sys.executable, args=command, env=variables, cwd=home)) as client:
        yield client


@contextmanager
def opik(behaviour: str) -> Generator[int]:
    """A process that takes everything, or never answers; its port."""
    process = subprocess.Popen([sys.executable, "-c", OPIK, behaviour], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()


@contextmanager
def closed_port() -> Generator[int]:
    """A port that nobody listens at."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield int(holder.getsockname()[1])


def report(taken: Mapping[str, list[float]]) -> int:
    base = quantiles(taken["off"])
    print(f"\n{'Opik':<8}{'p50 ms':>9}{'p99 ms':>9}{'added p50':>11}{'added p99':>11}")
    worst = 0.0
    for name, values in taken.items():
        middle, high = quantiles(values)
        print(f"{name:<8}{middle:>9.2f}{high:>9.2f}{middle - base[0]:>11.2f}{high - base[1]:>11.2f}")
        worst = max(worst, middle - base[0])
    print(f"worst added p50 {worst:.2f} ms (limit {LIMIT_MS:g})")
    return 0 if worst <= LIMIT_MS else 1


def quantiles(values: list[float]) -> tuple[float, float]:
    cuts = statistics.quantiles(values, n=100)
    return cuts[49], cuts[98]


if __name__ == "__main__":
    sys.exit(main())
