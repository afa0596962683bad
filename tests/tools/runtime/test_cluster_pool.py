"""A pool on a cluster: which worker answers, and what becomes of a question whose process or worker is lost."""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from mlops_mcp.config.settings import Settings
from mlops_mcp.tools.runtime import proctree
from mlops_mcp.tools.runtime.dask.engine import connected
from mlops_mcp.tools.runtime.dask.pool import PATIENCE_S, ClusterPool
from mlops_mcp.tools.runtime.jobs.queue import Jobs
from mlops_mcp.tools.runtime.jobs.submission import Submission
from mlops_mcp.tools.runtime.outcome import Outcome
from mlops_mcp.tools.runtime.pool import Died, Pool, PoolLost, pool_of
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.tracing.span import Tracer

from ...conftest import lives
from ...waiting import eventually, until
from .conftest import ended, with_runtime

pytestmark = pytest.mark.slow


@pytest.fixture
def on_cluster(settings: Settings, scheduler: str) -> Settings:
    return with_runtime(settings, engine="dask", scheduler=scheduler)


@pytest.fixture
def pool(on_cluster: Settings, hard: Any, tmp_path: Path) -> Generator[Pool]:
    with pool_of(Work(on_cluster, Tracer(lambda _span: None)), 9) as pool:
        assert pool is not None
        pool.begin(hard.Doubler(tmp_path))
        yield pool


def said(pool: Pool) -> tuple[Any, Any]:
    question, came = pool.hear()
    assert isinstance(came, Outcome), came
    return question, came.crash.message if came.crash else came.value


def members(mark: str = "pool-") -> list[psutil.Process]:
    """The processes of all pools that live."""
    found = list[psutil.Process]()
    for process in psutil.process_iter():
        try:
            carried = process.environ().get(proctree.MARK, "")
            found += [process] if carried.startswith(mark) and process.status() != psutil.STATUS_ZOMBIE else []
        except psutil.Error:
            continue
    return found


def begun(folder: Path) -> list[tuple[int, int]]:
    """The process and the worker of each start of a question, in any order."""
    lines = [line for file in folder.glob("begun-*") for line in file.read_text().splitlines()]
    return [(int(member), int(worker)) for member, worker in map(str.split, lines)]


def test_questions_are_answered_on_both_workers_and_none_is_left_behind(pool: Pool, tmp_path: Path) -> None:
    assert pool.size == 2
    for place in range(2):
        pool.ask((place, 2))
    assert not pool.idle
    until(lambda: len(begun(tmp_path)) == 2)
    (tmp_path / "gate").touch()
    assert {said(pool)[1], said(pool)[1]} == {0, 1}
    assert len({worker for _, worker in begun(tmp_path)}) == 2
    for number in (3, 4):
        pool.ask(number)
    assert sorted([said(pool), said(pool)]) == [(3, 6), (4, 8)]
    assert list(pool.notes) == []
    pool.close()
    until(lambda: not members())
    assert not list(tmp_path.rglob("pool-*"))


def test_a_process_that_dies_over_a_question_is_told_and_the_next_question_has_another(pool: Pool) -> None:
    found = list[Any]()
    for question in ("die", "leave", "crash", 4):
        pool.ask(question)
        heard, came = pool.hear()
        assert heard == question
        found.append(came.code if isinstance(came, Died) else came.crash.type if came.crash else came.value)
    assert found == [-9, 0, "KeyError", 8]


def test_a_worker_that_is_killed_costs_its_question_which_another_answers_and_that_is_told(
    pool: Pool, on_cluster: Settings, tmp_path: Path
) -> None:
    for place in range(2):
        pool.ask((place, 2))
    until(lambda: len(begun(tmp_path)) == 2)
    member, worker = begun(tmp_path)[0]
    psutil.Process(worker).kill()
    # Nobody holds the other end of its connection any more.
    until(lambda: not lives(member))
    (tmp_path / "gate").touch()
    assert {said(pool)[1], said(pool)[1]} == {0, 1}
    assert len(begun(tmp_path)) == 3
    [note] = pool.notes
    assert "the cluster lost tcp://" in note
    with connected(on_cluster, PATIENCE_S) as client:  # its nanny starts another one, for the tests to come
        client.wait_for_workers(2, timeout=600)


def test_a_scheduler_that_is_given_up_takes_no_more_questions_so_that_the_caller_goes_on_alone(pool: Pool) -> None:
    assert isinstance(pool, ClusterPool)
    of_client: Any = pool.client
    of_client.close()
    with pytest.raises(PoolLost):
        pool.ask(4)


def test_a_question_comes_before_jobs_that_wait_for_a_worker(
    pool: Pool, on_cluster: Settings, hard: Any, tmp_path: Path
) -> None:
    first, others = str(tmp_path / "first"), str(tmp_path / "others")
    with connected(on_cluster, PATIENCE_S) as client, ThreadPoolExecutor(1) as apart:
        running = [client.submit(hard.wait_for, first, pure=False) for _ in range(2)]
        of_client: Any = client
        until(lambda: sum(map(len, of_client.processing().values())) == 2)
        waiting = [client.submit(hard.wait_for, others, pure=False) for _ in range(4)]
        pool.ask(4)
        Path(first).touch()
        try:
            assert apart.submit(said, pool).result(600) == (4, 8)
        finally:
            Path(others).touch()
        client.gather([*running, *waiting])


async def test_the_work_that_waits_for_a_crew_leaves_its_place_to_a_member(
    on_cluster: Settings, hard: Any, tmp_path: Path
) -> None:
    jobs = Jobs(on_cluster)
    row = await jobs.submit(Submission("x", hard.crowd, hard.Request(folder=str(tmp_path))))
    # Two questions on two workers of one thread, one of which has the job as well.
    await eventually(lambda: len(begun(tmp_path)) == 2)
    (tmp_path / "gate").touch()
    row = await ended(jobs, row)
    assert (row.state, '"total":1.0' in (row.result or "")) == ("done", True), row.error


@pytest.mark.parametrize("how", ["cancel", "kill"])
async def test_a_job_that_is_ended_takes_the_members_on_all_workers_with_it(
    on_cluster: Settings, hard: Any, tmp_path: Path, how: str
) -> None:
    jobs = Jobs(with_runtime(on_cluster, job_attempts=1))
    row = await jobs.submit(Submission("x", hard.crowd, hard.Request(folder=str(tmp_path))))
    await eventually(lambda: len(begun(tmp_path)) == 2)
    if how == "cancel":
        await jobs.cancel(row.id)
    else:
        proctree.kill(f"{row.id}.01@cluster")
    assert (await ended(jobs, row)).state == {"cancel": "cancelled", "kill": "lost"}[how]
    await eventually(lambda: not members() or None)
