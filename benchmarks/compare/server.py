"""A server over HTTP that is used by eight clients at once while it trains: how long a call that does nothing takes.

Seven of them are a process of their own (`python -m benchmarks.compare.server URL`), so that what is measured is not
the time that clients spend on each other.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import statistics
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from mcp import Client

from .case import Case, Outcome

CLIENTS, CALLS = 8, 25
ROWS = 20_000
ADDRESS = re.compile(rb"http://[0-9.]+:[0-9]+/mcp")
# What the clients ask for in turn, beside the call that is measured.
MIXED: tuple[tuple[str, dict[str, Any]], ...] = (
    ("list_datasets", {}),
    ("describe_dataset", {"dataset": "rows"}),
    ("query_dataset", {"sql": "SELECT b, count(*) AS n FROM rows GROUP BY b"}),
    ("list_experiments", {}),
    ("list_suites", {}),
)
# Answered by the server itself, from its own tables.
NOTHING: tuple[str, dict[str, Any]] = ("list_jobs", {"limit": 1})


@asynccontextmanager
async def served(folder: Path) -> AsyncGenerator[str]:
    """The address of a server in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "mlops_mcp.server", "serve", "--transport", "http", "--port", "0", "--root", str(folder),
        env={**os.environ, "MLOPS_HOME": str(folder / "home"), "MLOPS_CONFIG": os.devnull},
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr
    try:
        while not (found := ADDRESS.search(await process.stderr.readline())):
            assert process.returncode is None
        reading = asyncio.create_task(process.stderr.read())
        yield found[0].decode()
        reading.cancel()
    finally:
        process.terminate()
        await process.wait()


async def measured(folder: Path) -> tuple[list[float], list[float]]:
    """Seconds of the call that does nothing: alone, and beside the others and a job that trains."""
    (folder / "rows.csv").write_text(
        "a,b,c\n" + "".join(f"{row % 97},{row % 7 % 2},{row * 7 % 31}\n" for row in range(ROWS))
    )
    async with served(folder) as address, Client(address) as client:
        await call(client, "load_dataset", {"path": str(folder / "rows.csv"), "name": "rows"})
        for tool in MIXED:
            await call(client, *tool)
        alone = [await timed(client) for _ in range(CALLS * CLIENTS)]
        search = {"dataset": "rows", "target": "b", "n_trials": 2_000, "wait_s": 0}
        started = await call(client, "tune_model", search)
        while (await call(client, "get_job", {"job": started["job"]}))["state"] == "queued":
            await asyncio.sleep(0.1)
        others = await crowded(address)
        beside = [await timed(client) for _ in range(CALLS * CLIENTS)]
        assert others.returncode is None, "the others ended before"
        others.kill()
        await others.wait()
        await call(client, "cancel_job", {"job": started["job"]})
    return alone, beside


async def crowded(address: str) -> asyncio.subprocess.Process:
    """The other clients, all of which are calling."""
    command = (sys.executable, "-m", "benchmarks.compare.server", address)
    others = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert others.stdout
    assert await others.stdout.readline(), "the others have not begun"
    return others


async def crowd(address: str) -> None:
    """Seven clients that call until this process is ended; it says when all of them do."""
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(Client(address)) for _ in range(CLIENTS - 1)]
        await asyncio.gather(*(call(client, *MIXED[0]) for client in clients))
        print("calling", flush=True)
        await asyncio.gather(*(used(client) for client in clients))


async def used(client: Client) -> None:
    for tool in itertools.cycle(MIXED):
        await call(client, *tool)


async def timed(client: Client) -> float:
    began = time.perf_counter()
    await call(client, *NOTHING)
    return time.perf_counter() - began


async def call(client: Client, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
    answer = await client.call_tool(tool, arguments)
    assert not answer.is_error, answer.content
    assert isinstance(answer.structured_content, dict)
    return answer.structured_content


def server(folder: Path) -> Outcome:
    alone, beside = asyncio.run(measured(folder))
    p99 = [statistics.quantiles(each, n=100)[98] * 1e3 for each in (alone, beside)]
    return Outcome(
        statistics.median(beside), statistics.median(alone), None, f"p99 {p99[1]:.1f} ms, alone {p99[0]:.1f} ms"
    )


CASES = [
    Case(
        "server", f"{CLIENTS * CALLS} calls that do nothing beside {CLIENTS - 1} busy clients and a job that trains",
        "alone", "p99 20 ms", server,
    ),
]  # fmt: skip

if __name__ == "__main__":
    asyncio.run(crowd(sys.argv[1]))
