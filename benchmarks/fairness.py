"""What one caller's calls and jobs cost while another one does its worst.

`python benchmarks/fairness.py [CALLS]` prints, in seconds, how long the calls of one caller take alone, beside six
validations whose regular expression never ends, and beside 200 calls at once, made again and again; then how long a
training takes alone and after 60 others of somebody else. That it is served at all is tested.
"""

from __future__ import annotations

import asyncio
import logging
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from mcp import Client
from mcp.types import Implementation

from mlops_mcp.config.load import load
from mlops_mcp.config.settings import Settings
from mlops_mcp.server.app import create_server
from mlops_mcp.server.host import Host

CALLS, JOBS = 100, 5
RULE = {"type": "expect_column_values_to_match_regex", "kwargs": {"column": "a", "regex": "^(a+)+$"}}
TRAINING: dict[str, Any] = {"dataset": "rows", "target": "b"}
Load = Callable[[Client], Awaitable[None]]


def main() -> int:
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else CALLS
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        asyncio.run(measured(Path(folder), calls))
    return 0


async def measured(folder: Path, calls: int) -> None:
    (folder / "endless.csv").write_text("a\n" + "a" * 60 + "!\n")
    (folder / "rows.csv").write_text("a,b\n" + "".join(f"{row % 97},{row % 7 % 2}\n" for row in range(1000)))
    given = {"data.roots": [str(folder)], "runtime.job_slots": 1}
    settings = load({"MLOPS_HOME": str(folder / "home"), "MLOPS_CONFIG": os.devnull}, given).settings
    print(f"{'':<44}{'p50 s':>9}{'p99 s':>9}{'worst s':>9}")
    async with served(settings) as (server, hostile, other):
        await warm(server, hostile, folder)
        for name, load_of in (
            ("alone", nothing),
            ("six endless regexes", regexes(folder)),
            ("200 calls at once", many),
        ):
            line(f"list_suites, {name}", await beside(hostile, load_of, lambda: timed(other, "list_suites"), calls))
        line("train_model, alone", [await training(other, 1000 + seed) for seed in range(JOBS)])
        async with queued(hostile):
            line("train_model, 60 others queued before it", [await training(other, 2000 + n) for n in range(JOBS)])


@asynccontextmanager
async def served(settings: Settings) -> AsyncGenerator[tuple[Host, Client, Client]]:
    server = create_server(settings)
    hostile, other = (Client(server, client_info=Implementation(name=name, version="1")) for name in ("ann", "bob"))
    async with server.services.running(), hostile, other:
        yield server, hostile, other


async def warm(server: Host, client: Client, folder: Path) -> None:
    await client.call_tool("create_suite", {"name": "endless", "expectations": [RULE]})
    await client.call_tool("load_dataset", {"path": str(folder / "rows.csv"), "name": "rows"})
    server.services.calls.warm()
    from mlops_mcp.tools.runtime.template.handle import own_template

    while not own_template().ready:
        await asyncio.sleep(0.1)


async def timed(client: Client, tool: str, **arguments: Any) -> float:
    began = time.perf_counter()
    answer = await client.call_tool(tool, arguments)
    assert not answer.is_error, answer.content
    return time.perf_counter() - began


async def beside(client: Client, load_of: Load, call: Callable[[], Awaitable[float]], number: int) -> list[float]:
    task = asyncio.ensure_future(load_of(client))
    await asyncio.sleep(2)
    taken = [await call() for _ in range(number)]
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    return taken


async def nothing(_client: Client) -> None: ...


def regexes(folder: Path) -> Load:
    async def run(client: Client) -> None:
        given = {"dataset": str(folder / "endless.csv"), "suite": "endless"}
        await asyncio.gather(*(client.call_tool("validate_dataset", given) for _ in range(6)))

    return run


async def many(client: Client) -> None:
    while True:
        await asyncio.gather(*(client.call_tool("list_suites", {}) for _ in range(200)))


async def training(client: Client, seed: int) -> float:
    """From the call to its result."""
    began = time.perf_counter()
    answer = await client.call_tool("train_model", {**TRAINING, "seed": seed, "wait_s": 50})
    made = answer.structured_content or {}
    while made.get("state") in ("queued", "running"):
        made = (await client.call_tool("get_job", {"job": made["job"], "wait_s": 50})).structured_content or {}
    assert made.get("state") == "done", answer.content
    return time.perf_counter() - began


@asynccontextmanager
async def queued(client: Client) -> AsyncGenerator[None]:
    """Sixty trainings, each of them another call."""
    made: list[str] = []
    for seed in range(60):
        answer = await client.call_tool("train_model", {**TRAINING, "seed": seed, "wait_s": 0})
        made.append(str((answer.structured_content or {})["job"]))
    try:
        yield
    finally:
        for name in made:
            await client.call_tool("cancel_job", {"job": name})


def line(name: str, taken: list[float]) -> None:
    p99 = statistics.quantiles(taken, n=100, method="inclusive")[98]
    print(f"{name:<44}{statistics.median(taken):>9.3f}{p99:>9.3f}{max(taken):>9.3f}", flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
