"""What a call to a worker costs, and how late the event loop is while workers are busy.

`python benchmarks/calls.py` prints the overhead of a warm call that does nothing, without and with a 1 MB argument, and
the lateness of a 5 ms heartbeat beside three loads, each in a call worker and, for comparison, in a thread.
`python benchmarks/calls.py LOAD PLACE` measures one of them and prints JSON. Each measurement has a process of its own:
a library is imported only once.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from mlops_mcp.config.load import load
from mlops_mcp.tools.runtime.calls.executor import CallExecutor

HEARTBEAT_S = 0.005
LIMIT_MS = 10.0
CALLS = 500
LOADS = ("pandas", "xgboost", "imports")
PLACES = ("worker", "thread")

# A slice like any other, so that workers can import it.
CLIENT = """
import time

def nothing(work, data=b""):
    return None

def pandas(work):
    import numpy as np
    import pandas as pd

    frame = pd.DataFrame({"key": np.arange(200_000) % 500, "text": np.arange(200_000).astype(str)})
    frame["value"] = np.sin(frame.index)
    end = time.monotonic() + 2
    while time.monotonic() < end:
        frame.groupby("key")["value"].agg(["mean", "std"])
        frame.merge(frame.drop_duplicates("key"), on="key").sort_values("text_x")
        frame["text"].str.upper()

def xgboost(work):
    import numpy as np
    import xgboost

    rows = np.random.default_rng(0).normal(size=(50_000, 20))
    end = time.monotonic() + 2
    while time.monotonic() < end:
        xgboost.XGBClassifier(n_estimators=20, n_jobs=1).fit(rows, rows[:, 0] > 0)

def imports(work):
    import mlflow, sklearn.ensemble, great_expectations
"""


def main() -> int:
    if len(sys.argv) > 1:
        print(json.dumps(asyncio.run(with_client(lambda client: heartbeat(client, *sys.argv[1:3])))))
        return 0
    print(asyncio.run(with_client(overhead)))
    print(f"\n5 ms heartbeat, ms late{'':<12}{'p50':>8}{'p99':>8}{'max':>8}{'beats':>8}")
    worst = 0.0
    for task in LOADS:
        for place in PLACES:
            late = apart(task, place)
            print(f"{task:<14}{place:<22}" + "".join(f"{late[name]:>8.1f}" for name in ("p50", "p99", "max", "beats")))
            worst = max(worst, late["p99"]) if place == "worker" else worst
    print(f"worst p99 beside workers {worst:.1f} ms (limit {LIMIT_MS:g})")
    return 0 if worst <= LIMIT_MS else 1


def apart(task: str, place: str) -> dict[str, float]:
    """One measurement in a process of its own."""
    done = subprocess.run([sys.executable, __file__, task, place], stdout=subprocess.PIPE, check=True, text=True)
    late: dict[str, float] = json.loads(done.stdout)
    return late


async def with_client(measure: Callable[[Any], Awaitable[Any]]) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "bench", "tools", "bench", "client.py")
        file.parent.mkdir(parents=True)
        file.write_text(CLIENT, encoding="utf-8")
        sys.path.insert(0, folder)
        return await measure(importlib.import_module("bench.tools.bench.client"))


def open_pool() -> CallExecutor:
    """A pool whose workers import for themselves: that is the load."""
    loaded = load({"MLOPS_HOME": tempfile.gettempdir(), "MLOPS_CONFIG": os.devnull}, {"runtime.preload": False})
    return CallExecutor(loaded.settings, lambda _span: None)


async def overhead(client: Any) -> str:
    pool = open_pool()
    lines = [f"{'warm call':<24}{'p50 ms':>8}{'p99 ms':>8}"]
    for label, data in (("no argument", b""), ("1 MB argument", bytes(1 << 20))):
        for _ in range(50):
            await pool.call(client.nothing, data)
        took: list[float] = []
        for _ in range(CALLS):
            began = time.perf_counter()
            await pool.call(client.nothing, data)
            took.append((time.perf_counter() - began) * 1e3)
        lines.append(f"{label:<24}{statistics.median(took):>8.2f}{percentile(took, 99):>8.2f}")
    await asyncio.to_thread(pool.close)
    return "\n".join(lines)


async def heartbeat(client: Any, task: str, place: str) -> dict[str, float]:
    """How late the loop of this process is while something else works, in ms."""
    pool = open_pool()
    if place == "worker":
        await pool.call(client.nothing)
        working = asyncio.ensure_future(pool.call(getattr(client, task)))
    else:
        working = asyncio.ensure_future(asyncio.to_thread(getattr(client, task), None))
    late: list[float] = []
    while not working.done():
        due = time.perf_counter() + HEARTBEAT_S
        await asyncio.sleep(HEARTBEAT_S)
        late.append((time.perf_counter() - due) * 1e3)
    await working
    await asyncio.to_thread(pool.close)
    return {"p50": statistics.median(late), "p99": percentile(late, 99), "max": max(late), "beats": len(late)}


def percentile(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


if __name__ == "__main__":
    raise SystemExit(main())
