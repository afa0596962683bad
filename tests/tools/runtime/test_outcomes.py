"""How jobs end, whatever they are made of, here and on a cluster."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from mlops_mcp.config.settings import Settings
from mlops_mcp.tools.runtime import proctree
from mlops_mcp.tools.runtime.jobs.launch import mark_of
from mlops_mcp.tools.runtime.jobs.queue import Jobs
from mlops_mcp.tools.runtime.jobs.submission import Submission
from mlops_mcp.tools.runtime.jobs.table import JobRow
from mlops_mcp.tools.runtime.models import Budget, Progress
from mlops_mcp.tools.tracing.store.reader import TraceReader

from ...conftest import lives
from ...waiting import eventually
from .conftest import ended, logged

pytestmark = pytest.mark.slow


def processes(row: JobRow) -> list[Any]:
    """Everything that runs for a job, here and on a worker of the cluster, which is this machine too."""
    mark = mark_of(row.id, max(row.attempt, 1))
    return proctree.marked(mark) + proctree.marked(f"{mark}@cluster")


def workers_of(row: JobRow) -> list[Any]:
    """Those of them that do the work, not its keeper."""
    return [process for process in processes(row) if process.pid != row.pid]


def family(folder: Path) -> list[int]:
    """What a job of that kind has started, by its own word: it need not carry the job's mark."""
    file = folder / "family"
    return [int(line) for line in file.read_text().split()] if file.exists() else []


async def asking(jobs: Jobs, row: JobRow) -> JobRow:
    """The job, as soon as it asks something."""
    async with asyncio.timeout(600):
        while not (row := await jobs.get(row.id)).asks:
            assert row.state in ("queued", "running")
            await asyncio.sleep(0.01)
    return row


@pytest.mark.parametrize("kind", ["loop", "boost", "sleep", "family"])
async def test_cancelling_leaves_no_process_and_keeps_what_was_reached(
    jobs: Jobs, hard: Any, tmp_path: Path, kind: str
) -> None:
    row = await jobs.submit(Submission("x", getattr(hard, kind), hard.Request(folder=str(tmp_path))))
    await eventually(lambda: logged(tmp_path))
    await eventually(lambda: jobs._table.get(row.id).partial)  # pyright: ignore[reportPrivateUsage]
    assert processes(row)
    row = await jobs.cancel(row.id)
    assert processes(row) == []
    assert [pid for pid in family(tmp_path) if lives(pid)] == []
    assert row.state == "cancelled"
    assert json.loads((await jobs.get(row.id)).partial or "") == {"name": "kept", "total": 7.0}


async def test_a_job_that_ends_at_once_keeps_its_result(jobs: Jobs, hard: Any, tmp_path: Path) -> None:
    row = await jobs.submit(Submission("x", hard.at_once, hard.Request(folder=str(tmp_path), name="quick")))
    row = await ended(jobs, row)
    assert (row.state, json.loads(row.result or "")["name"]) == ("done", "quick")


async def test_progress_spans_and_the_result_arrive(jobs: Jobs, hard: Any, engine: Settings, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    row = await jobs.submit(Submission("x", hard.steps, hard.Request(folder=str(tmp_path), gate=str(gate))))
    seen: list[Progress] = []
    async for now in jobs.watch(row.id, 120):
        if now.progress:
            seen.append(Progress.model_validate_json(now.progress))
        if seen and seen[-1].done == 4:
            gate.touch()
    row = await jobs.get(row.id)
    assert seen[-1] == Progress(done=4, total=5, message="step 4", best=0.4)
    assert json.loads(row.result or "") == {"name": "stepped", "total": 5.0}
    spans = [
        span
        for trace in TraceReader(engine.home / "traces.db").traces(9)
        for span in TraceReader(engine.home / "traces.db").spans(trace.trace_id)
    ]
    top = next(span for span in spans if span.name == "job x")
    assert [span.parent_id for span in spans if span.name == "inner"] == [top.id] * 5


async def test_a_job_whose_process_is_killed_is_noticed_cleaned_up_and_done_again(
    jobs: Jobs, hard: Any, tmp_path: Path
) -> None:
    row = await jobs.submit(Submission("x", hard.once_more, hard.Request(folder=str(tmp_path))))
    await eventually(lambda: logged(tmp_path))
    row = await jobs.get(row.id)
    assert len(processes(row)) > 2
    os.kill(row.pid, signal.SIGKILL)
    await eventually(lambda: not processes(row))
    row = await ended(jobs, row)
    assert (row.state, row.attempt, json.loads(row.result or "")["name"]) == ("done", 2, "second")
    assert logged(tmp_path) == ["start a", "again a"]


async def test_work_that_is_killed_below_its_keeper_is_noticed_cleaned_up_and_done_again(
    jobs: Jobs, hard: Any, tmp_path: Path
) -> None:
    row = await jobs.submit(Submission("x", hard.once_more, hard.Request(folder=str(tmp_path))))
    await eventually(lambda: logged(tmp_path))
    row = await jobs.get(row.id)
    for process in [each for each in workers_of(row) if each.ppid() != 1 and os.getsid(each.pid) != each.pid]:
        with suppress(psutil.NoSuchProcess):  # its keeper was faster, once the first of them was gone
            process.kill()
    row = await ended(jobs, row)
    assert (row.state, row.attempt, row.error) == ("done", 2, None), row.error


@pytest.mark.parametrize(("kind", "says"), [("once_more", "its process died"), ("segfault", "SIGSEGV")])
async def test_work_that_must_not_be_repeated_is_lost(
    jobs: Jobs, hard: Any, tmp_path: Path, kind: str, says: str
) -> None:
    row = await jobs.submit(Submission("x", getattr(hard, kind), hard.Request(folder=str(tmp_path)), once=True))
    if kind == "once_more":
        await eventually(lambda: logged(tmp_path))
        os.kill((await jobs.get(row.id)).pid, signal.SIGKILL)
    row = await ended(jobs, row)
    assert (row.state, row.attempt) == ("lost", 1)
    assert says in (row.error or "")
    await eventually(lambda: not processes(row))


@pytest.mark.parametrize("kind", ["eat", "native"])
async def test_the_memory_limit_is_a_clean_error(jobs: Jobs, hard: Any, tmp_path: Path, kind: str) -> None:
    row = await ended(jobs, await jobs.submit(Submission("x", getattr(hard, kind), hard.Request(folder=str(tmp_path)))))
    assert (row.state, row.attempt, row.fault) == ("failed", 1, "memory")
    assert "the memory limit was reached. Use fewer rows or columns." in (row.error or "")


async def test_a_crash_is_a_failure_that_is_not_repeated(jobs: Jobs, hard: Any, tmp_path: Path) -> None:
    row = await ended(jobs, await jobs.submit(Submission("x", hard.crash, hard.Request(folder=str(tmp_path)))))
    assert (row.state, row.attempt, row.fault) == ("failed", 1, "crashed")


@pytest.mark.parametrize("kind", ["loop", "sleep"])
async def test_the_budget_of_time_ends_a_job_and_keeps_what_was_reached(
    jobs: Jobs, hard: Any, tmp_path: Path, kind: str
) -> None:
    request = hard.Request(folder=str(tmp_path))
    row = await ended(jobs, await jobs.submit(Submission("x", getattr(hard, kind), request, budget=Budget(seconds=2))))
    assert (row.state, row.fault, json.loads(row.partial or "")["name"]) == ("cancelled", "budget", "kept")
    assert row.error == "the budget of 2 s was used up"
    await eventually(lambda: not processes(row))


async def test_a_budget_that_is_used_up_with_nothing_to_keep_is_a_failure(
    jobs: Jobs, hard: Any, tmp_path: Path
) -> None:
    request = hard.Request(folder=str(tmp_path), gate="/never")
    row = await ended(jobs, await jobs.submit(Submission("x", hard.leaves, request, budget=Budget(seconds=2))))
    assert (row.state, row.error) == ("failed", "the budget of 2 s was used up")
    await eventually((tmp_path / "closed").exists)


async def test_the_budget_of_memory_ends_a_job_and_keeps_what_was_reached(
    jobs: Jobs, hard: Any, tmp_path: Path
) -> None:
    request = hard.Request(folder=str(tmp_path))
    row = await ended(jobs, await jobs.submit(Submission("x", hard.swell, request, budget=Budget(megabytes=400))))
    assert (row.state, row.fault) == ("cancelled", "budget")
    assert "MB of a budget of 400 MB" in (row.error or "")
    assert json.loads(row.partial or "")["name"] == "kept"


async def test_work_that_watches_its_time_ends_in_order(jobs: Jobs, hard: Any, tmp_path: Path) -> None:
    request = hard.Request(folder=str(tmp_path))
    row = await ended(jobs, await jobs.submit(Submission("x", hard.paced, request, budget=Budget(seconds=2))))
    assert row.state == "done"
    assert json.loads(row.result or "")["total"] >= 1


async def test_a_job_waits_for_the_answers_to_its_questions(jobs: Jobs, hard: Any, tmp_path: Path) -> None:
    row = await jobs.submit(Submission("x", hard.asks, hard.Request(folder=str(tmp_path))))
    row = await asking(jobs, row)
    assert set(json.loads(row.asks or "")) == {"name", "age"}
    row = await jobs.answer(row.id, {"name": "Ann", "shoe": 43})
    assert set(json.loads(row.asks or "")) == {"age"}
    await jobs.answer(row.id, {"age": 7})
    row = await ended(jobs, row)
    assert (row.asks, json.loads(row.result or "")) == (None, {"name": "Ann", "total": 7.0})


@pytest.mark.parametrize("how", ["cancelled", "killed"])
async def test_what_a_job_left_open_is_closed_when_it_does_not_come_to_its_end(
    jobs: Jobs, hard: Any, tmp_path: Path, how: str
) -> None:
    row = await jobs.submit(Submission("x", hard.leaves, hard.Request(folder=str(tmp_path)), once=True))
    await eventually(lambda: logged(tmp_path))
    await eventually(lambda: jobs._table.get(row.id).cleanup)  # pyright: ignore[reportPrivateUsage]
    if how == "cancelled":
        await jobs.cancel(row.id)
    else:
        os.kill((await jobs.get(row.id)).pid, signal.SIGKILL)
    await eventually((tmp_path / "closed").exists)


async def test_a_second_question_gets_its_own_answer_even_if_it_is_the_same_and_long(
    jobs: Jobs, hard: Any, tmp_path: Path
) -> None:
    row = await jobs.submit(Submission("x", hard.asks_twice, hard.Request(folder=str(tmp_path))))
    for _ in range(2):
        row = await asking(jobs, row)
        await jobs.answer(row.id, {"sure": "y" * 100_000})
        while (await jobs.get(row.id)).asks == row.asks and (await jobs.get(row.id)).answers:
            await asyncio.sleep(0.01)
    row = await ended(jobs, row)
    assert json.loads(row.result or "")["total"] == 100_000


async def test_memory_that_processes_of_a_job_share_counts_once(jobs: Jobs, hard: Any, tmp_path: Path) -> None:
    request = hard.Request(folder=str(tmp_path))
    # Five processes of 300 MB, beside the libraries that a warm one was forked with.
    row = await ended(jobs, await jobs.submit(Submission("x", hard.shares, request, budget=Budget(megabytes=1_100))))
    assert (row.state, row.error) == ("done", None)
