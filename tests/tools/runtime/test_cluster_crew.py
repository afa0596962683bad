"""A crew on a cluster: which worker answers, and what becomes of a question whose process or worker is lost."""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from mlops_mcp.config.settings import Settings
from mlops_mcp.tools.runtime import proctree
from mlops_mcp.tools.runtime.crew import Crew, CrewLost, Died, crew_of
from mlops_mcp.tools.runtime.dask.crew import PATIENCE_S, ClusterCrew
from mlops_mcp.tools.runtime.dask.engine import connected
from mlops_mcp.tools.runtime.jobs.queue import Jobs
from mlops_mcp.tools.runtime.jobs.submission import Submission
from mlops_mcp.tools.runtime.outcome import Outcome
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
def crew(on_cluster: Settings, hard: Any, tmp_path: Path) -> Generator[Crew]:
    with crew_of(Work(on_cluster, Tracer(lambda _span: None)), 9) as crew:
        assert crew is not None
        crew.begin(hard.Doubler(tmp_path))
        yield crew


def said(crew: Crew) -> tuple[Any, Any]:
    question, came = crew.hear()
    assert isinstance(came, Outcome), came
    return question, came.crash.message if came.crash else came.value


def members(mark: str = "crew-") -> list[psutil.Process]:
    """The processes of all crews that live."""
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


def test_questions_are_answered_on_both_workers_and_none_is_left_behind(crew: Crew, tmp_path: Path) -> None:
    assert crew.size == 2
    for place in range(2):
        crew.ask((place, 2))
    assert not crew.idle
    until(lambda: len(begun(tmp_path)) == 2)
    (tmp_path / "gate").touch()
    assert {said(crew)[1], said(crew)[1]} == {0, 1}
    assert len({worker for _, worker in begun(tmp_path)}) == 2
    for number in (3, 4):
        crew.ask(number)
    assert sorted([said(crew), said(crew)]) == [(3, 6), (4, 8)]
    assert list(crew.notes) == []
    crew.close()
    until(lambda: not members())
    assert not list(tmp_path.rglob("crew-*"))


def test_a_process_that_dies_over_a_question_is_told_and_the_next_question_has_another(crew: Crew) -> None:
    found = list[Any]()
    for question in ("die", "leave", "crash", 4):
        crew.ask(question)
        heard, came = crew.hear()
        assert heard == question
        found.append(came.code if isinstance(came, Died) else came.crash.type if came.crash else came.value)
    assert found == [-9, 0, "KeyError", 8]


def test_a_worker_that_is_killed_costs_its_question_which_another_answers_and_that_is_told(
    crew: Crew, on_cluster: Settings, tmp_path: Path
) -> None:
    for place in range(2):
        crew.ask((place, 2))
    until(lambda: len(begun(tmp_path)) == 2)
    member, worker = begun(tmp_path)[0]
    psutil.Process(worker).kill()
    # Nobody holds the other end of its connection any more.
    until(lambda: not lives(member))
    (tmp_path / "gate").touch()
    assert {said(crew)[1], said(crew)[1]} == {0, 1}
    assert len(begun(tmp_path)) == 3
    [note] = crew.notes
    assert "the cluster lost tcp://" in note
    with connected(on_cluster, PATIENCE_S) as client:  # its nanny starts another one, for the tests to come
        client.wait_for_workers(2, timeout=600)


def test_a_scheduler_that_is_given_up_takes_no_more_questions_so_that_the_caller_goes_on_alone(crew: Crew) -> None:
    assert isinstance(crew, ClusterCrew)
    of_client: Any = crew.client
    of_client.close()
    with pytest.raises(CrewLost):
        crew.ask(4)


def test_a_question_comes_before_jobs_that_wait_for_a_worker(
    crew: Crew, on_cluster: Settings, hard: Any, tmp_path: Path
) -> None:
    first, others = str(tmp_path / "first"), str(tmp_path / "others")
    with connected(on_cluster, PATIENCE_S) as client, ThreadPoolExecutor(1) as apart:
        running = [client.submit(hard.wait_for, first, pure=False) for _ in range(2)]
        of_client: Any = client
        until(lambda: sum(map(len, of_client.processing().values())) == 2)
        waiting = [client.submit(hard.wait_for, others, pure=False) for _ in range(4)]
        crew.ask(4)
        Path(first).touch()
        try:
            assert apart.submit(said, crew).result(600) == (4, 8)
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
