"""A job that is forked from the template is as much on its own as one that was started cold."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from mlops_mcp.config.settings import Settings
from mlops_mcp.tools.runtime.jobs.launch import table_of
from mlops_mcp.tools.runtime.jobs.queue import Jobs
from mlops_mcp.tools.runtime.jobs.submission import Submission
from mlops_mcp.tools.runtime.jobs.table import JobRow
from mlops_mcp.tools.runtime.template.handle import Template

from ...waiting import eventually
from .conftest import ended, with_runtime

pytestmark = pytest.mark.slow

SOURCE = """
import inspect, multiprocessing, os, signal, sys, time
from pathlib import Path
from pydantic import BaseModel

class Request(BaseModel):
    gate: str = ""

class Facts(BaseModel):
    pid: int
    keeper: int
    session: int
    preloaded: bool
    files: list[str]
    keeper_files: list[str]
    keeper_threads: int
    signals: list[bool]
    main: bool
    variable: str
    mark: str
    depth: int
    draw: float
    inner_threads: int

def opened(pid):
    found = []
    for number in os.listdir(f"/proc/{pid}/fd"):
        try: found.append(os.readlink(f"/proc/{pid}/fd/{number}"))
        except OSError: continue
    return found

def facts(work, request: Request) -> Facts:
    preloaded = "xgboost" in sys.modules
    print("a word on stdout")
    import numpy
    keeper = os.getppid()
    while request.gate and not Path(request.gate).exists(): time.sleep(0.01)
    return Facts(
        pid=os.getpid(), keeper=keeper, session=os.getsid(0), preloaded=preloaded,
        files=opened(os.getpid()), keeper_files=opened(keeper),
        keeper_threads=len(os.listdir(f"/proc/{keeper}/task")),
        signals=[signal.getsignal(n) == signal.SIG_DFL for n in (signal.SIGTERM, signal.SIGCHLD)],
        main=multiprocessing.parent_process() is None and multiprocessing.current_process().name == "MainProcess",
        variable=os.environ.get("PYTHON_PROBE", ""), mark=os.environ.get("MLOPS_JOB_MARK", ""),
        depth=len(inspect.stack()), draw=numpy.random.random(),
        inner_threads=int(os.environ["OMP_NUM_THREADS"]),
    )
"""


@pytest.fixture
def warm(settings: Settings, template: Template) -> Jobs:
    return Jobs(with_runtime(settings, job_slots=0))


@pytest.fixture
def probe(probes: Any) -> Any:
    return probes("facts", SOURCE)


async def facts(jobs: Jobs, probe: Any, gate: str = "") -> tuple[dict[str, Any], JobRow]:
    row = await ended(jobs, await jobs.submit(Submission("x", probe.facts, probe.Request(gate=gate))), 120)
    assert row.state == "done", row.error
    return json.loads(row.result or ""), row


async def test_a_forked_job_has_its_libraries_and_nothing_else_of_the_process_it_came_from(
    warm: Jobs, probe: Any, template: Template, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHON_PROBE", "as of now")
    found, row = await facts(warm, probe)
    assert found["preloaded"]
    assert found["session"] == found["keeper"] == row.pid
    assert psutil.Process().pid not in (found["keeper"], found["session"])
    assert all(found["signals"])
    assert found["main"]
    assert found["variable"] == "as of now"
    assert found["mark"] == f"{row.id}.01", "what the work starts by an exec would carry no mark"
    for files in (found["files"], found["keeper_files"]):
        kept = [name for name in files if name.startswith(("socket:", "pipe:", "anon_inode:"))]
        assert len(kept) <= 1, kept  # the way between the keeper and its work
    assert found["keeper_threads"] <= 2, "the keeper and the writer of its spans"
    assert "a word on stdout" in warm.log_tail(row.id)


async def test_no_two_forked_jobs_draw_the_same_numbers(warm: Jobs, probe: Any) -> None:
    draws = [(await facts(warm, probe))[0]["draw"] for _ in range(2)]
    assert draws[0] != draws[1]


async def test_jobs_that_waited_are_forked_from_the_keeper_before_them_and_nest_nothing(
    warm: Jobs, probe: Any, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    table = table_of(warm._settings)  # pyright: ignore[reportPrivateUsage]
    first = await warm.submit(Submission("x", probe.facts, probe.Request(gate=str(gate))))
    waiting = [await warm.submit(Submission("x", probe.facts, probe.Request())) for _ in range(3)]
    await eventually(lambda: table.get(first.id).pid)
    gate.touch()
    # Nobody but the keepers looks after them.
    await eventually(lambda: all(table.get(row.id).state == "done" for row in waiting))
    found = [json.loads(table.get(row.id).result or "") for row in waiting]
    assert all(each["preloaded"] and each["session"] == each["keeper"] for each in found)
    assert len({each["keeper"] for each in found}) == len(waiting)
    assert len({each["depth"] for each in found}) == 1, "each generation stands on the one before"


async def test_a_forked_job_outlives_the_template(settings: Settings, probe: Any, tmp_path: Path) -> None:
    """In a process of its own, which is killed together with its template."""
    gate = tmp_path / "gate"
    program = f"""
import asyncio, os, threading
from mlops_mcp.config.settings import Settings
from mlops_mcp.tools.runtime.jobs.queue import Jobs
from mlops_mcp.tools.runtime.jobs.submission import Submission
from mlops_mcp.tools.runtime.template.handle import own_template
from probe.tools.facts import client
settings = Settings.model_validate_json({settings.model_dump_json()!r})
async def main():
    settled = threading.Event()
    own_template().start([], settings.runtime.job_threads, settled.set)
    await asyncio.to_thread(settled.wait)
    row = await Jobs(settings).submit(Submission("x", client.facts, client.Request(gate={str(gate)!r})))
    print(row.id, own_template().pid, flush=True)
    await asyncio.sleep(600)
if __name__ == "__main__":
    asyncio.run(main())
"""
    script = tmp_path / "server.py"
    script.write_text(program, encoding="utf-8")
    server = await asyncio.create_subprocess_exec(
        *(sys.executable, str(script)), stdout=asyncio.subprocess.PIPE, cwd=tmp_path
    )
    assert server.stdout is not None
    identity, template = (await server.stdout.readline()).decode().split()
    table = table_of(settings)
    await eventually(lambda: table.get(identity).pid)
    server.kill()
    await eventually(lambda: not psutil.pid_exists(int(template)))
    row = table.get(identity)
    assert row.state == "running"
    keeper = psutil.Process(row.pid)
    assert "forkserver" in " ".join(keeper.cmdline()), "it was not forked"
    gate.touch()
    await eventually(lambda: table.get(identity).state == "done")


async def test_a_job_that_wants_other_threads_than_the_template_has_starts_cold(
    settings: Settings, probe: Any, template: Template
) -> None:
    slots = (os.cpu_count() or 1) + 1 if template.threads > 1 else 1
    other = with_runtime(settings, job_slots=slots)
    assert other.runtime.job_threads != template.threads, "this takes a machine of two cores"
    found, _ = await facts(Jobs(other), probe)
    assert not found["preloaded"]
    assert found["inner_threads"] == other.runtime.job_threads


async def test_a_killed_forked_job_is_found_by_its_mark(warm: Jobs, probe: Any, tmp_path: Path) -> None:
    row = await warm.submit(Submission("x", probe.facts, probe.Request(gate=str(tmp_path / "never")), once=True))
    table = table_of(warm._settings)  # pyright: ignore[reportPrivateUsage]
    await eventually(lambda: table.get(row.id).pid)
    child = await eventually(lambda: psutil.Process(table.get(row.id).pid).children())
    os.kill(table.get(row.id).pid, signal.SIGKILL)
    row = await ended(warm, row, 120)
    assert row.state == "lost"
    assert not child[0].is_running() or child[0].status() == psutil.STATUS_ZOMBIE
