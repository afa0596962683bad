"""Servers come and go, jobs stay: with each engine, and with each kind of job table."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from mcp import Client
from pydantic import JsonValue, SecretStr

from mlops_mcp.config.secrets import revealed
from mlops_mcp.config.settings import Settings
from mlops_mcp.server.app import create_server
from mlops_mcp.tools.runtime import proctree
from mlops_mcp.tools.runtime.dask.engine import workers
from mlops_mcp.tools.runtime.jobs.launch import mark_of, table_of
from mlops_mcp.tools.runtime.jobs.queue import Jobs
from mlops_mcp.tools.runtime.jobs.submission import Submission
from mlops_mcp.tools.runtime.models import JobView
from mlops_mcp.tools.spec import Injected, Toolset, writes

from ...conftest import finished
from ...waiting import eventually
from .conftest import ended, logged, with_runtime

pytestmark = pytest.mark.slow

SERVER = """
import anyio, json, sys
from mlops_mcp.config.secrets import revealed
from mlops_mcp.config.settings import Settings
from mlops_mcp.tools.runtime.jobs.queue import Jobs
from mlops_mcp.tools.runtime.jobs.submission import Submission
from hard.tools.outcomes import client

settings, kind, requests = (json.loads(text) for text in sys.argv[1:])
jobs = Jobs(Settings.model_validate(settings))

async def main():
    for request in requests:
        await jobs.submit(Submission("x", getattr(client, kind), client.Request(**request)))
    print("submitted", flush=True)
    while True:
        await jobs.reconcile()
        await anyio.sleep(0.2)

anyio.run(main)
"""


def server(settings: Settings, kind: str, requests: list[dict[str, str]]) -> subprocess.Popen[str]:
    """A process that submits jobs and looks after them until it is killed."""
    command = [sys.executable, "-c", SERVER, json.dumps(revealed(settings)), json.dumps(kind), json.dumps(requests)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.fixture(params=["local", "dask", "postgres"])
def shared(request: pytest.FixtureRequest, settings: Settings) -> Settings:
    """The settings of two servers with two slots."""
    if request.param == "postgres":
        return with_runtime(settings, job_slots=2, job_store=SecretStr(request.getfixturevalue("postgres")))
    if request.param == "dask":
        scheduler = request.getfixturevalue("scheduler")
        return with_runtime(settings, job_slots=2, engine="dask", scheduler=scheduler)
    return with_runtime(settings, job_slots=2)


def overlaps(folder: Path) -> int:
    """How many jobs ran at the same time at most, by the times they wrote down."""
    events = [line.split() for line in (folder / "log").read_text().splitlines()]
    running = most = 0
    for what, _, _ in sorted(events, key=lambda event: (float(event[2]), event[0] == "start")):
        running += 1 if what == "start" else -1
        most = max(most, running)
    return most


async def test_sixteen_jobs_of_two_servers_that_are_killed_all_run_once_and_never_too_many_at_a_time(
    shared: Settings, hard: Any, tmp_path: Path
) -> None:
    names = [[f"{which}{number}" for number in range(8)] for which in "ab"]
    servers = [server(shared, "short", [{"folder": str(tmp_path), "name": name} for name in each]) for each in names]
    for process in servers:
        assert process.stdout
        assert process.stdout.readline() == "submitted\n"
        process.kill()
        process.wait()
    later = Jobs(shared)
    async with asyncio.timeout(600):
        while len(logged(tmp_path)) < 32:
            await later.reconcile()
            await asyncio.sleep(0.2)
    assert sorted(logged(tmp_path)) == sorted(
        f"{what} {name}" for each in names for name in each for what in ("start", "end")
    )
    assert overlaps(tmp_path) <= 2
    rows = [
        row for row in (await later.page(99, None, ""))[0] if json.loads(row.request).get("folder") == str(tmp_path)
    ]
    for row in rows:
        assert (await ended(later, row)).state == "done"


async def test_a_job_goes_on_when_its_server_is_killed_and_the_next_one_reads_it(
    shared: Settings, hard: Any, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    process = server(shared, "steps", [{"folder": str(tmp_path), "gate": str(gate)}])
    assert process.stdout
    assert process.stdout.readline() == "submitted\n"
    table = table_of(shared)
    row = table.recent(1)[0]
    await eventually(lambda: (table.get(row.id).progress or "").find("step 4") > 0)
    process.kill()
    process.wait()
    later = Jobs(shared)
    assert (await later.get(row.id)).state == "running"
    gate.touch()
    row = await ended(later, row)
    assert (row.state, row.attempt, json.loads(row.result or "")["name"]) == ("done", 1, "stepped")


async def test_a_worker_that_is_killed_takes_its_work_along_and_another_one_does_it_again(
    settings: Settings, scheduler: str, hard: Any, tmp_path: Path
) -> None:
    cluster = with_runtime(settings, engine="dask", scheduler=scheduler)
    jobs = Jobs(cluster)
    row = await jobs.submit(Submission("x", hard.once_more, hard.Request(folder=str(tmp_path))))
    await eventually(lambda: logged(tmp_path))
    mark = f"{mark_of(row.id, 1)}@cluster"
    remote = next(
        process
        for process in proctree.marked(mark)
        if psutil.Process(process.ppid()).environ().get(proctree.MARK) != mark
    )
    os.kill(remote.ppid(), signal.SIGKILL)
    await eventually(lambda: not proctree.marked(mark))
    row = await ended(jobs, row)
    assert (row.state, row.attempt, json.loads(row.result or "")["name"]) == ("done", 2, "second")


async def test_the_workers_of_a_cluster_are_listed(settings: Settings, scheduler: str) -> None:
    on_cluster = with_runtime(settings, engine="dask", scheduler=scheduler)
    # One that another test has killed is being replaced.
    found = await eventually(lambda: found if len(found := workers(on_cluster)) == 2 else None)
    assert [worker.threads for worker in found] == [1, 1]
    assert all(worker.address.startswith("tcp://") and worker.memory_mb > 0 for worker in found)


async def test_a_scheduler_that_does_not_answer_is_an_error_that_names_the_setting(
    settings: Settings, hard: Any, tmp_path: Path
) -> None:
    jobs = Jobs(with_runtime(settings, engine="dask", scheduler="tcp://127.0.0.1:9"))
    row = await ended(jobs, await jobs.submit(Submission("x", hard.at_once, hard.Request(folder=str(tmp_path)))))
    assert row.state == "failed"
    assert "tcp://127.0.0.1:9 does not answer" in (row.error or "")
    assert "runtime.scheduler" in (row.error or "")


async def test_the_job_table_may_go_away_for_a_while_without_a_job_noticing(
    settings: Settings, postgres: str, hard: Any, tmp_path: Path
) -> None:
    import psycopg

    gate = tmp_path / "gate"
    jobs = Jobs(with_runtime(settings, job_store=SecretStr(postgres)))
    row = await jobs.submit(Submission("x", hard.steps, hard.Request(folder=str(tmp_path), gate=str(gate))))
    await eventually(lambda: table_of(with_runtime(settings, job_store=SecretStr(postgres))).get(row.id).progress)
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("alter table mlops_mcp.jobs rename to away")
        await eventually(lambda: "cannot be used" in jobs.log_tail(row.id, 3000))
        gate.touch()
        connection.execute("alter table mlops_mcp.away rename to jobs")
    row = await ended(jobs, row)
    assert (row.state, json.loads(row.result or "")["name"]) == ("done", "stepped")


async def test_a_job_goes_on_when_its_client_gives_up_and_another_client_fetches_its_result(
    shared: Settings, hard: Any, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"

    async def run_steps(context: Injected) -> JobView[JsonValue]:
        """Take some steps."""
        return await context.submit(hard.steps, hard.Request(folder=str(tmp_path), gate=str(gate)), 50)

    toolset = Toolset("hard", "Hard work.", (writes(run_steps, "Run steps", job="long"),))
    first, second = create_server(shared, toolset), create_server(shared)
    async with first.services.running(), second.services.running(), Client(first) as one, Client(second) as other:
        call = asyncio.create_task(one.call_tool("run_steps", {}))
        listed: dict[str, Any] = {}
        while not listed.get("items"):
            assert not call.done()
            answer = await other.call_tool("list_jobs", {"state": "running", "limit": 1})
            listed = answer.structured_content or {}
        call.cancel()
        await asyncio.wait([call])
        gate.touch()
        found = await finished(other, "get_job", job=listed["items"][0]["job"], wait_s=50)
        assert isinstance(found.structured_content, dict)
        assert found.structured_content["result"] == {"name": "stepped", "total": 5.0}
