"""`mlops-mcp engine status`: where jobs run, and who works there."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Literal

from ..config.settings import Settings
from ..tools.errors import ToolFailure
from ..tools.runtime.dask.engine import ClusterWorker, workers
from ..tools.runtime.jobs.launch import table_of


@dataclass(frozen=True)
class EngineStatus:
    """`store` is where the job table lies; `slots` how many jobs this machine starts at a time."""

    engine: Literal["local", "dask"]
    scheduler: str
    store: str
    slots: int
    running: int = 0
    queued: int = 0
    workers: list[ClusterWorker] = field(default_factory=list[ClusterWorker])
    problems: list[str] = field(default_factory=list[str])


def status(settings: Settings) -> EngineStatus:
    """Ask the job table and the scheduler; what does not answer is a problem of the report, not an error."""
    runtime = settings.runtime
    found: dict[str, int] = {}
    working: list[ClusterWorker] = []
    problems: list[str] = []
    store = "not available"
    try:
        table = table_of(settings)
        store = table.backend.name
        found = {state: table.count(state) for state in ("running", "queued")}
    except ToolFailure as failure:
        problems.append(str(failure))
    if runtime.engine == "dask":
        try:
            working = workers(settings)
        except ToolFailure as failure:
            problems.append(str(failure))
    return EngineStatus(
        runtime.engine, runtime.scheduler, store, runtime.slots, **found, workers=working, problems=problems
    )


def print_status(settings: Settings, as_json: bool) -> int:
    """Print the status; the exit code is 1 when something did not answer."""
    report = status(settings)
    if as_json:
        print(json.dumps(asdict(report), indent=1))
    else:
        print("\n".join(_lines(report)))
    return 1 if report.problems else 0


def _lines(report: EngineStatus) -> list[str]:
    where = f"dask at {report.scheduler}" if report.engine == "dask" else "local processes"
    lines = [
        f"engine   {where}",
        f"jobs     {report.running} running, {report.queued} queued, {report.slots} at a time",
        f"table    {report.store}",
    ]
    for worker in report.workers:
        limit = f" of {worker.limit_mb}" if worker.limit_mb else ""
        used = f"{worker.memory_mb}{limit} MB"
        lines.append(f"worker   {worker.address}  {worker.threads} threads  {worker.running} running  {used}")
    return lines + [f"problem  {problem}" for problem in report.problems]
