"""What a short job costs beyond the library's own time: `python benchmarks/short_jobs.py [rounds]`.

Trains, evaluates and explains on 400 rows of 4 columns through a real stdio client, first cold, then with the
libraries loaded. A fit is the same estimator on the same rows in this process.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy
import pandas
import psutil
from mcp import Client
from mcp.client.stdio import StdioServerParameters

ROWS, COLUMNS = 400, 4
WAIT_S = 50


def table(folder: Path) -> Path:
    draw = numpy.random.default_rng(0)
    frame = pandas.DataFrame(draw.normal(size=(ROWS, COLUMNS)), columns=[f"x{n}" for n in range(COLUMNS)])
    frame["y"] = (frame.x0 + frame.x1 + draw.normal(size=ROWS) > 0).astype(int)
    path = folder / "table.csv"
    frame.to_csv(path, index=False)
    return path


def fit_s(path: Path) -> float:
    import xgboost

    frame = pandas.read_csv(path)
    began = time.perf_counter()
    xgboost.XGBClassifier(n_estimators=100).fit(frame.drop(columns="y"), frame.y)
    return time.perf_counter() - began


async def timed(call: Callable[[], Awaitable[Any]]) -> tuple[float, Any]:
    began = time.perf_counter()
    result = await call()
    assert not result.is_error, result.content
    assert result.structured_content["state"] == "done", result.structured_content
    return time.perf_counter() - began, result.structured_content["result"]


async def until_warm(server: psutil.Process) -> float:
    """Wait for the template: it is ready when no process below the server works any more."""
    began, used, quiet = time.perf_counter(), 0.0, 0
    while quiet < 8:
        await asyncio.sleep(0.25)
        before, used = used, sum(sum(child.cpu_times()[:2]) for child in server.children(recursive=True))
        quiet = quiet + 1 if used - before < 0.01 else 0
    return time.perf_counter() - began


async def main(rounds: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "work")
        folder.mkdir()
        path = table(folder)
        environment = {"PATH": os.environ["PATH"], "HOME": name, "MLOPS_HOME": f"{name}/home"}
        parameters = StdioServerParameters(
            command=sys.executable, args=["-m", "mlops_mcp.server", "serve"], env=environment, cwd=folder
        )
        async with Client(parameters) as client:

            def call(tool: str, **arguments: object) -> Callable[[], Awaitable[Any]]:
                return lambda: client.call_tool(tool, {**arguments, "wait_s": WAIT_S})

            await client.list_tools()
            server = next(p for p in psutil.Process().children() if "mlops_mcp" in " ".join(p.cmdline()))
            print(f"listed only: {rss_mb(server):.0f} MB in {len(processes(server))} processes")
            cold, trained = await timed(call("train_model", dataset=str(path), target="y"))
            print(f"train_model cold {cold:.2f} s; template ready after {await until_warm(server):.1f} s more")
            print(f"warm: {rss_mb(server):.0f} MB in {len(processes(server))} processes")
            model = trained["model"]
            steps = {
                "train_model": call("train_model", dataset=str(path), target="y"),
                "evaluate_model": call("evaluate_model", model=model, dataset=str(path)),
                "explain_model": call("explain_model", model=model, dataset=str(path)),
            }
            fit = statistics.median(fit_s(path) for _ in range(3))
            for tool, step in steps.items():
                taken = [(await timed(step))[0] for _ in range(rounds)]
                print(
                    f"{tool:<15} warm median {statistics.median(taken):.2f} s, max {max(taken):.2f} s (fit {fit:.2f})"
                )


def processes(server: psutil.Process) -> list[psutil.Process]:
    return [server, *server.children(recursive=True)]


def rss_mb(server: psutil.Process) -> float:
    return sum(process.memory_info().rss for process in processes(server)) / 1e6


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 10))
