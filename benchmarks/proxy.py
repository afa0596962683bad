"""What the proxy in front of the endpoints costs and loses: calls through it, and straight to what it asks.

`python benchmarks/proxy.py [CALLS [builtin|haproxy]]`: as many calls of sixteen callers while the share of a new
version goes from 10 over 50 to 100 %; then single calls, with the proxy and without; then what callers see while a
service, the keeper and the relay are killed in turn. That a killed bento comes back is tested.
"""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import aiohttp
import psutil

from mlops_mcp.config.load import load
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.serving import endpoints, marks
from mlops_mcp.tools.serving.models import Deployment, EndpointFile
from mlops_mcp.tools.serving.proxy import handle
from mlops_mcp.tools.tracing.span import Tracer

AT_ONCE, SINGLE = 16, 2000
BODY = {"rows": [{"x": 1.0}]}


def main(calls: str = "10000", proxy: str = "builtin") -> None:
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        environ = {"MLOPS_HOME": folder, "MLOPS_CONFIG": os.devnull}
        work = Work(load(environ, {"bentoml.proxy": proxy}).settings, Tracer(lambda _span: None))
        with endpoints.change(work, "credit"):
            both = [started(work, name, stack) for name in ("old", "new")]
            shared(work, both, 10)
        handle.ensure(work)
        try:
            asyncio.run(measured(work, both, int(calls)))
            shared(work, both, 50)
            asyncio.run(survived(work, both, int(calls) // 5))
        finally:
            endpoints.remove(work, "credit")
            while handle.runs(work):
                time.sleep(0.1)


def started(work: Work, name: str, stack: ExitStack) -> Deployment:
    """A service that answers at once, in a process of its own."""
    bears = {marks.MARK: marks.mark_of("credit", name), marks.HOME: marks.home_of(work.home)}
    command = [sys.executable, str(Path(__file__).with_name("quick_service.py"))]
    process = subprocess.Popen(command, env={**os.environ, **bears}, stdout=subprocess.PIPE, text=True)
    stack.callback(process.wait)
    stack.callback(process.kill)
    assert process.stdout is not None
    port = int(process.stdout.readline())
    return Deployment(
        id=name, bento=f"bento:credit:{name}", pid=process.pid, port=port, started="", replicas=1, ready=True
    )


def shared(work: Work, both: list[Deployment], percent: int) -> None:
    shares = (100 - percent, percent)
    changed = [each.model_copy(update={"percent": share}) for each, share in zip(both, shares, strict=True)]
    endpoints.write(work, EndpointFile(endpoint="credit", deployments=changed))
    handle.reread(work)


async def measured(work: Work, both: list[Deployment], calls: int) -> None:
    url = handle.address(work, "credit")
    async with aiohttp.ClientSession() as client:
        for percent in (10, 50, 100):
            await asyncio.to_thread(shared, work, both, percent)
            began = time.perf_counter()
            found = await asked(client, url, calls // 3)
            took = time.perf_counter() - began
            failed = sum(count for (status, _), count in found.items() if status != 200)
            share = found[200, "new"] / max(1, found.total())
            print(
                f"{percent:3} %: {found.total()} calls, {failed} failed, {share:.2%} new, {found.total() / took:.0f}/s"
            )
        straight = f"http://127.0.0.1:{both[1].port}/predict"
        times = {url: list[float](), straight: list[float]()}
        for _ in range(SINGLE):  # in turn, so that both see the same machine
            for each, taken in times.items():
                taken.append(await timed(client, each))
    through, direct = (statistics.quantiles(each, n=100) for each in times.values())
    print(
        f"p50 {through[49]:.3f} ms through the proxy, {direct[49]:.3f} straight, {through[49] - direct[49]:.3f} added"
    )
    print(f"p99 {through[98]:.3f} ms through it, {direct[98]:.3f} straight")


async def survived(work: Work, both: list[Deployment], calls: int) -> None:
    home = str(work.home.absolute())
    async with aiohttp.ClientSession() as client:
        for name in ("service", ".keeper", ".relay_process"):
            load = asyncio.ensure_future(asked(client, handle.address(work, "credit"), calls))
            await asyncio.sleep(0.5)
            pid = both[0].pid if name == "service" else process_of(home, name)
            os.kill(pid, signal.SIGKILL)
            began = time.perf_counter()
            statuses = Counter[str]()
            for (status, said), count in (await load).items():
                statuses[str(status or said)] += count
            took = time.perf_counter() - began
            print(f"{name.strip('.')} killed: {dict(statuses)} in {took:.1f} s")


def process_of(home: str, module: str) -> int:
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if home in command and any(each.endswith(module) for each in command):
            return process.pid
    raise LookupError(module)


async def asked(client: aiohttp.ClientSession, url: str, calls: int) -> Counter[tuple[int, str]]:
    left, found = iter(range(calls)), Counter[tuple[int, str]]()

    async def caller() -> None:
        for _ in left:
            try:
                async with client.post(url, json=BODY) as said:
                    await said.read()
                    found[said.status, said.headers.get("X-Deployment", "")] += 1
            except aiohttp.ClientError as error:
                found[0, type(error).__name__] += 1

    await asyncio.gather(*(caller() for _ in range(AT_ONCE)))
    return found


async def timed(client: aiohttp.ClientSession, url: str) -> float:
    began = time.perf_counter()
    async with client.post(url, json=BODY) as said:
        await said.read()
    return (time.perf_counter() - began) * 1000


if __name__ == "__main__":
    main(*sys.argv[1:])
