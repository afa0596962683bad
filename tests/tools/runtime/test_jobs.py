"""Jobs: long work in processes of their own, which outlive clients, servers and their own death."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

from mlops_mcp.config.settings import Settings
from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.runtime import proctree
from mlops_mcp.tools.runtime.jobs.alive import held
from mlops_mcp.tools.runtime.jobs.launch import lock_path, mark_of, table_of
from mlops_mcp.tools.runtime.jobs.queue import Jobs
from mlops_mcp.tools.runtime.jobs.submission import Submission
from mlops_mcp.tools.runtime.models import Budget, Progress
from mlops_mcp.tools.tracing.span import Tracer
from mlops_mcp.tools.tracing.store.reader import TraceReader
from mlops_mcp.tools.tracing.store.writer import TraceStore

from ...processes import variables_of, words_of
from ...waiting import eventually
from .conftest import ended, with_runtime

pytestmark = pytest.mark.slow

LONG = """
import os, subprocess, sys, time
from pathlib import Path
from pydantic import BaseModel
from mlops_mcp.tools.errors import ToolFailure

class Request(BaseModel):
    folder: str
    name: str = "a"
    steps: int = 3
    gate: str = ""

class Result(BaseModel):
    name: str
    total: float

def note(request, text):
    with open(Path(request.folder) / "log", "a") as log: log.write(f"{text} {request.name}\\n")

def wait_for(path):
    while not Path(path).exists(): time.sleep(0.01)

def count(work, request: Request) -> Result:
    note(request, "start")
    for step in range(request.steps):
        work.progress(step + 1, request.steps, f"trial {step + 1}", best=step / 10)
    with work.tracer.span("inner", steps=request.steps): pass
    if request.gate: wait_for(request.gate)
    note(request, "end")
    return Result(name=request.name, total=request.steps)

def family(work, request: Request) -> Result:
    work.progress(2, 9, "trial 2", best=0.75)
    child = "import os, time; os.setsid(); time.sleep(600)"
    subprocess.Popen([sys.executable, "-c", child])
    orphan = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {child!r}])"
    subprocess.Popen([sys.executable, "-c", orphan])
    note(request, "start")
    wait_for("/never")

def twice(work, request: Request) -> Result:
    marker = Path(request.folder) / "first"
    note(request, "start")
    if not marker.exists():
        marker.touch()
        wait_for("/never")
    return Result(name="second", total=2)

def hopeless(work, request: Request) -> Result:
    print("about to die", file=sys.stderr, flush=True)
    os.kill(os.getpid(), 9)

def fail(work, request: Request) -> Result: raise ToolFailure("no such column", "Try describe_dataset.")
def crash(work, request: Request) -> Result: raise ZeroDivisionError("by zero")
def leave(work, request: Request) -> Result: sys.exit(3)
def wrong(work, request: Request) -> Result: return {"name": object()}
def where(work, request: Request) -> Result: return Result(name=f"{os.getcwd()} {work.settings.roots[0]}", total=0)
def chat(work, request: Request) -> Result:
    print("python says hello"); os.write(1, b"fd says hello\\n")
    return Result(name=f"{os.environ['OMP_WAIT_POLICY']} {os.nice(0)}", total=os.getsid(0) == os.getppid())
"""

Probes = Callable[[str, str], Any]


@pytest.fixture
def jobs(settings: Settings) -> Generator[Jobs]:
    yield Jobs(settings)
    for row in table_of(settings).running():  # of a test that failed half-way
        proctree.kill(mark_of(row.id, row.attempt))


@pytest.fixture
def long(probes: Probes) -> Any:
    return probes("long", LONG)


def logged(folder: Path) -> list[str]:
    return (folder / "log").read_text().splitlines() if (folder / "log").exists() else []


async def test_a_job_runs_reports_progress_and_keeps_its_result(jobs: Jobs, long: Any, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    job = await jobs.submit(Submission("train_model", long.count, long.Request(folder=str(tmp_path), gate=str(gate))))
    seen: list[Progress] = []
    async for row in jobs.watch(job.id, 120):
        if row.progress:
            seen.append(Progress.model_validate_json(row.progress))
            gate.touch()
    row = await jobs.get(job.id)
    assert (row.state, json.loads(row.result or ""), row.error) == ("done", {"name": "a", "total": 3.0}, None)
    assert seen[-1] == Progress(done=3, total=3, best=0.2, message="trial 3")


async def test_cancelling_kills_the_whole_tree_and_keeps_the_progress(jobs: Jobs, long: Any, tmp_path: Path) -> None:
    row = await jobs.submit(Submission("tune_model", long.family, long.Request(folder=str(tmp_path))))
    mark = mark_of(row.id, 1)
    await eventually(lambda: logged(tmp_path))
    await eventually(lambda: sum("sleep(600)" in words_of(process) for process in proctree.marked(mark)) >= 2)
    row = await jobs.cancel(row.id)
    assert proctree.marked(mark) == []
    assert row.state == "cancelled"
    assert Progress.model_validate_json(row.progress or "").best == 0.75


async def test_a_job_that_was_killed_is_started_again_and_ends(jobs: Jobs, long: Any, tmp_path: Path) -> None:
    row = await jobs.submit(Submission("train_model", long.twice, long.Request(folder=str(tmp_path))))
    await eventually(lambda: (tmp_path / "first").exists())
    os.kill((await jobs.get(row.id)).pid, signal.SIGKILL)
    row = await ended(jobs, row)
    assert (row.state, row.attempt, json.loads(row.result or "")["name"]) == ("done", 2, "second")


async def test_a_job_that_dies_every_time_is_lost_and_says_what_it_logged_last(
    jobs: Jobs, long: Any, tmp_path: Path
) -> None:
    row = await ended(
        jobs, await jobs.submit(Submission("train_model", long.hopeless, long.Request(folder=str(tmp_path))))
    )
    assert (row.state, row.attempt) == ("lost", 2)
    assert "about to die" in (row.error or "")


async def test_work_that_must_not_be_repeated_is_lost_at_its_first_death(jobs: Jobs, long: Any, tmp_path: Path) -> None:
    request = long.Request(folder=str(tmp_path))
    row = await ended(jobs, await jobs.submit(Submission("deploy_model", long.hopeless, request, once=True)))
    assert (row.state, row.attempt) == ("lost", 1)


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("fail", "no such column. Try describe_dataset."),
        ("crash", "unexpected ZeroDivisionError. get_trace("),
        ("leave", "unexpected SystemExit. get_trace("),
        ("wrong", "PydanticSerializationError"),
    ],
)
async def test_a_job_that_raises_has_failed_and_is_not_started_again(
    jobs: Jobs, long: Any, tmp_path: Path, name: str, error: str
) -> None:
    row = await ended(jobs, await jobs.submit(Submission("x", getattr(long, name), long.Request(folder=str(tmp_path)))))
    assert (row.state, row.attempt) == ("failed", 1)
    assert error in (row.error or "")


async def test_a_job_runs_as_it_was_submitted_whoever_starts_it(
    jobs: Jobs, long: Any, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, other = tmp_path / "mine", tmp_path / "other"
    for folder in (mine, other):
        folder.mkdir()
    roots = settings.data.model_copy(update={"roots": (mine,)})
    monkeypatch.chdir(mine)
    gate = tmp_path / "gate"
    await jobs.submit(Submission("x", long.count, long.Request(folder=str(tmp_path), gate=str(gate))))
    queued = await Jobs(settings.model_copy(update={"data": roots})).submit(
        Submission("x", long.where, long.Request(folder=str(tmp_path)))
    )
    assert queued.state == "queued"
    # The job before it, which another server submitted elsewhere, starts it when it ends.
    monkeypatch.chdir(other)
    gate.touch()
    row = await ended(jobs, queued)
    assert json.loads(row.result or "")["name"] == f"{mine} {mine}"


async def test_a_job_that_failed_does_not_use_up_its_key(jobs: Jobs, long: Any, tmp_path: Path) -> None:
    request = long.Request(folder=str(tmp_path))
    first = await ended(jobs, await jobs.submit(Submission("x", long.fail, request, idempotency="key")))
    again = await jobs.submit(Submission("x", long.fail, request, idempotency="key"))
    assert again.id != first.id
    await ended(jobs, again)


async def test_eight_jobs_run_in_the_order_they_came_and_never_more_than_there_are_slots(
    jobs: Jobs, long: Any, tmp_path: Path
) -> None:
    rows = [
        await jobs.submit(Submission("x", long.count, long.Request(folder=str(tmp_path), name=str(number))))
        for number in range(8)
    ]
    for row in rows:
        assert (await ended(jobs, row)).state == "done"
    assert logged(tmp_path) == [f"{what} {number}" for number in range(8) for what in ("start", "end")]


async def test_two_slots_run_two_jobs_at_a_time_and_not_three(settings: Settings, long: Any, tmp_path: Path) -> None:
    runtime = settings.runtime.model_copy(update={"job_slots": 2})
    jobs = Jobs(settings.model_copy(update={"runtime": runtime}))
    request = long.Request(folder=str(tmp_path), gate=str(tmp_path / "gate"))
    rows = [
        await jobs.submit(Submission("x", long.count, request.model_copy(update={"name": str(n)}))) for n in range(3)
    ]
    await eventually(lambda: len(logged(tmp_path)) == 2)
    assert [(await jobs.get(row.id)).state for row in rows] == ["running", "running", "queued"]
    (tmp_path / "gate").touch()
    assert [(await ended(jobs, row)).state for row in rows] == ["done"] * 3


async def test_servers_that_share_a_state_folder_share_its_slots(
    settings: Settings, jobs: Jobs, long: Any, tmp_path: Path
) -> None:
    servers = [jobs, Jobs(settings), Jobs(settings)]
    requests = [long.Request(folder=str(tmp_path), name=str(number)) for number in range(9)]
    rows = await asyncio.gather(
        *(servers[n % 3].submit(Submission("x", long.count, each)) for n, each in enumerate(requests))
    )
    for number, row in enumerate(rows):
        assert (await ended(servers[(number + 1) % 3], row)).state == "done"
    words = [line.split() for line in logged(tmp_path)]
    assert [(begin[0], end[0]) for begin, end in zip(words[::2], words[1::2], strict=True)] == [("start", "end")] * 9
    assert all(begin[1] == end[1] for begin, end in zip(words[::2], words[1::2], strict=True))


async def test_a_queued_job_is_cancelled_without_ever_starting(jobs: Jobs, long: Any, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    first = await jobs.submit(
        Submission("x", long.count, long.Request(folder=str(tmp_path), name="first", gate=str(gate)))
    )
    second = await jobs.submit(Submission("x", long.count, long.Request(folder=str(tmp_path), name="second")))
    assert (await jobs.cancel(second.id)).state == "cancelled"
    gate.touch()
    assert (await ended(jobs, first)).state == "done"
    assert logged(tmp_path) == ["start first", "end first"]


async def test_a_job_that_has_ended_cannot_be_cancelled_any_more(jobs: Jobs, long: Any, tmp_path: Path) -> None:
    row = await ended(jobs, await jobs.submit(Submission("x", long.count, long.Request(folder=str(tmp_path)))))
    assert (await jobs.cancel(row.id)).state == "done"


async def test_the_same_idempotency_key_finds_the_same_job(jobs: Jobs, long: Any, tmp_path: Path) -> None:
    request = long.Request(folder=str(tmp_path))
    first = await jobs.submit(Submission("train_model", long.count, request, idempotency="key"))
    assert (await jobs.submit(Submission("train_model", long.count, request, idempotency="key"))).id == first.id
    assert (await jobs.submit(Submission("other_tool", long.count, request, idempotency="key"))).id != first.id
    assert (
        await jobs.submit(Submission("train_model", long.count, request, idempotency="key", scope="another caller"))
    ).id != first.id
    with pytest.raises(ToolFailure, match="used before with other arguments"):
        await jobs.submit(
            Submission("train_model", long.count, request.model_copy(update={"steps": 4}), idempotency="key")
        )


async def test_an_unknown_job_is_refused_with_the_nearest(jobs: Jobs, long: Any, tmp_path: Path) -> None:
    row = await ended(jobs, await jobs.submit(Submission("x", long.count, long.Request(folder=str(tmp_path)))))
    with pytest.raises(ToolFailure, match=f"Did you mean {row.id}"):
        await jobs.get(f"{row.id}x")


async def test_a_job_finishes_and_starts_the_next_after_its_server_is_gone(
    settings: Settings, jobs: Jobs, long: Any, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    program = (
        "import anyio, os, sys\n"
        "from mlops_mcp.config.settings import Settings\n"
        "from mlops_mcp.tools.runtime.jobs.queue import Jobs\n"
        "from mlops_mcp.tools.runtime.jobs.submission import Submission\n"
        "from probe.tools.long import client\n"
        f"jobs = Jobs(Settings.model_validate_json({settings.model_dump_json()!r}))\n"
        "async def main():\n"
        "    for name in ('first', 'second'):\n"
        f"        request = client.Request(folder={str(tmp_path)!r}, name=name, gate={str(gate)!r})\n"
        "        await jobs.submit(Submission('x', client.count, request))\n"
        "    os.kill(os.getpid(), 9)\n"
        "anyio.run(main)\n"
    )
    server = subprocess.run([sys.executable, "-c", program], check=False, timeout=600)
    assert server.returncode == -signal.SIGKILL
    rows, total = await jobs.page(10, None, "")
    assert (total, sorted(row.state for row in rows)) == (2, ["queued", "running"])
    gate.touch()
    # Nobody reconciles here: the ended job itself starts the next one.
    await eventually(lambda: logged(tmp_path)[-1:] == ["end second"])
    for row in rows:
        assert (await ended(jobs, row)).state == "done"


async def test_a_server_that_starts_takes_up_the_work_of_one_that_was_killed_with_its_job(
    settings: Settings, jobs: Jobs, long: Any, tmp_path: Path
) -> None:
    row = await jobs.submit(Submission("x", long.twice, long.Request(folder=str(tmp_path))))
    await eventually(lambda: (tmp_path / "first").exists())
    pid = (await jobs.get(row.id)).pid
    os.kill(pid, signal.SIGKILL)
    await eventually(lambda: not held(lock_path(settings, row.id)))
    later = Jobs(settings)
    await later.reconcile()
    assert (await ended(later, row)).state == "done"


async def test_what_a_job_prints_goes_to_its_log_and_it_gives_way_in_a_session_of_its_own(
    settings: Settings, long: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    jobs = Jobs(with_runtime(settings, job_nice=10))
    row = await ended(jobs, await jobs.submit(Submission("x", long.chat, long.Request(folder=str(tmp_path)))))
    given_way = min(os.nice(0) + 10, 19)
    assert json.loads(row.result or "") == {"name": f"passive {given_way}", "total": 1.0}
    assert jobs.log_tail(row.id).splitlines() == ["python says hello", "fd says hello"]
    assert "hello" not in capfd.readouterr().out


async def test_the_spans_of_a_job_hang_under_the_call_that_submitted_it(
    settings: Settings, jobs: Jobs, long: Any, tmp_path: Path
) -> None:
    store = TraceStore(settings.home / "traces.db", 16)
    with Tracer(store.put).span("train_model") as call:
        row = await jobs.submit(Submission("train_model", long.count, long.Request(folder=str(tmp_path))))
    store.close()
    await ended(jobs, row)
    reader = TraceReader(settings.home / "traces.db")
    await eventually(lambda: "job train_model" in {span.name for span in reader.spans(call.trace_id) if span.end})
    spans = {span.name: span for span in reader.spans(call.trace_id)}
    assert spans["job train_model"].parent_id == call.id
    assert spans["inner"].parent_id == spans["job train_model"].id
    assert spans["job train_model"].output == {"name": "a", "total": 3.0}


async def test_the_environment_of_a_job_shows_no_settings_to_its_children(
    jobs: Jobs, long: Any, tmp_path: Path
) -> None:
    row = await jobs.submit(Submission("x", long.family, long.Request(folder=str(tmp_path))))
    await eventually(lambda: logged(tmp_path))
    children = await eventually(lambda: [p for p in proctree.marked(mark_of(row.id, 1)) if "sleep(600)" in words_of(p)])
    environments = [found for child in children if (found := variables_of(child))]
    await jobs.cancel(row.id)
    assert environments
    assert all("MLOPS_JOB_SETTINGS" not in environment for environment in environments)


async def test_a_number_that_is_not_finite_is_refused_before_anything_is_queued(jobs: Jobs, probes: Probes) -> None:
    exact = probes(
        "exact",
        "from pydantic import BaseModel\n"
        "class Request(BaseModel): x: float\n"
        "def run(work, request: Request) -> float: return request.x\n",
    )
    with pytest.raises(ToolFailure, match="not finite"):
        await jobs.submit(Submission("x", exact.run, exact.Request(x=float("inf"))))
    assert (await jobs.page(9, None, ""))[1] == 0


async def test_what_a_job_imports_before_its_work_is_not_on_its_budget(
    jobs: Jobs, probes: Probes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = probes(
        "late",
        LONG + "\nif os.environ.get('PYTHON_IMPORTS_TAKE'): time.sleep(float(os.environ['PYTHON_IMPORTS_TAKE']))\n",
    )
    monkeypatch.setenv("PYTHON_IMPORTS_TAKE", "2.5")
    request = late.Request(folder=str(tmp_path))
    row = await ended(jobs, await jobs.submit(Submission("x", late.count, request, budget=Budget(seconds=2))))
    assert (row.state, row.error) == ("done", None)
