"""What it costs that servers share no disk: a call with nothing new, publishing, and the first fetch of a new server.

`python benchmarks/replica.py postgresql://… s3://bucket/folder [ENDPOINT] [DATASETS]` prints each in milliseconds, and
the processor time of it. Give it a database and a folder that may be written: what it makes stays there.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from mlops_mcp.config.load import load
from mlops_mcp.config.settings import Settings
from mlops_mcp.tools.lineage import Lineage
from mlops_mcp.tools.replica.steps import bring, in_step

RUNS = 20
LARGE = 8 << 20


def main(database: str, files: str, endpoint: str = "", datasets: str = "1000") -> None:
    with tempfile.TemporaryDirectory() as folder:
        shared = {"storage.database": database, "storage.files": f"{files}/{uuid.uuid4().hex}"}
        flags = {**shared, "storage.endpoint": endpoint}
        one, two = (load(flags={**flags, "home": f"{folder}/{name}"}).settings for name in ("one", "two"))
        large = filled(one, int(datasets))
        say(f"publish {datasets} datasets and 8 MB", lambda: step(one))
        say(f"first fetch of {datasets} datasets", lambda: step(two))
        say("fetch 8 MB when it is asked for", lambda: bring(two, two.home / large.relative_to(one.home)))
        say("a call with nothing new", lambda: step(two), RUNS)


def filled(settings: Settings, number: int) -> Path:
    """A state folder as that many loads leave it."""
    folder = settings.home / "datasets"
    folder.mkdir(parents=True)
    for place in range(number):
        (folder / f"rows@{place:012x}.json").write_text(f'{{"dataset": "dataset:rows@{place:012x}"}}')
        Lineage(settings.home).record(f"dataset:rows@{place:012x}", ["file:/rows.csv"], "load_dataset")
    large = folder / "ffffffffffff.parquet"
    large.write_bytes(bytes(LARGE))
    return large


def step(settings: Settings) -> None:
    with in_step(settings):
        pass


def say(what: str, run: Callable[[], object], times: int = 1) -> None:
    walls, cpu = list[float](), time.process_time()
    for _ in range(times):
        began = time.perf_counter()
        run()
        walls.append((time.perf_counter() - began) * 1e3)
    used = (time.process_time() - cpu) / times * 1e3
    print(f"{what:<48}{statistics.median(walls):9.1f} ms{max(walls):9.1f} at most{used:9.1f} ms of a processor")


if __name__ == "__main__":
    main(*sys.argv[1:])
