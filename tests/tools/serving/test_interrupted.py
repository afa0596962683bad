"""Deployments that are cancelled, or killed with nobody left to tidy up but the proxy: nothing of them is left.

The jobs, the proxy and all that is kept are real; the services stand in for those of bentos.
"""

from __future__ import annotations

import http.client
import importlib
import os
import signal
import sys
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from mlops_mcp.config.load import load
from mlops_mcp.tools.runtime import proctree
from mlops_mcp.tools.runtime.jobs.launch import mark_of
from mlops_mcp.tools.runtime.jobs.queue import Jobs
from mlops_mcp.tools.runtime.jobs.submission import Submission
from mlops_mcp.tools.runtime.jobs.table import JobRow
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.serving import client, endpoints, marks, processes
from mlops_mcp.tools.serving.models import EndpointFile
from mlops_mcp.tools.serving.proxy import handle
from mlops_mcp.tools.tracing.span import Tracer

from ...conftest import PATIENT
from ...waiting import eventually, until
from .interrupted import SOURCE

pytestmark = pytest.mark.slow

MODULE = "probe.tools.standing.client"


@dataclass(frozen=True)
class Standing:
    """An endpoint `credit` at which something serves, and jobs that put something else there."""

    work: Work
    jobs: Jobs
    module: Any
    folder: Path

    def deploy(self, bento: str) -> None:
        """Right here, to its end."""
        self.module.deploy(self.work, self.module.Request(bento=bento))

    async def stopped(self, point: str, bento: str, endpoint: str = "credit") -> JobRow:
        """A job that has come to a point, where it waits."""
        request = self.module.Request(bento=bento, endpoint=endpoint, point=point)
        submission = Submission("deploy_model", self.module.deploy, request, once=True)
        await self.jobs.reconcile()  # as a server does when it starts: one that was killed holds a slot
        row = await self.jobs.submit(submission)
        await eventually(lambda: (self.folder / "point.reached").exists())
        return await self.jobs.get(row.id)

    def state(self) -> EndpointFile:
        return endpoints.read(self.work, "credit")

    def left(self, endpoint: str = "credit") -> tuple[set[str], set[str], set[str]]:
        """The deployments of an endpoint in its file, among the processes, and among the folders."""
        known = endpoints.read(self.work, endpoint).deployments if endpoints.exists(self.work, endpoint) else []
        alive = {identity for name, identity in marks.found(self.work.home) if name == endpoint}
        return {each.id for each in known}, alive, endpoints.identities(self.work, endpoint)

    def ask(self, **headers: str) -> str:
        """Which deployment answers."""
        connection = http.client.HTTPConnection("127.0.0.1", handle.port_of(self.work), timeout=600)
        try:
            connection.request("POST", "/credit/predict", b"{}", headers)
            reply = connection.getresponse()
            assert reply.status == 200, reply.read()
            return reply.headers["X-Deployment"]
        finally:
            connection.close()

    def forget_gates(self) -> None:
        for each in (*self.folder.glob("*.reached"), *self.folder.glob("*.open")):
            each.unlink()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Generator[Standing]:
    folder = tmp_path_factory.mktemp("interrupted")
    file = folder.joinpath(*MODULE.split(".")).with_suffix(".py")
    file.parent.mkdir(parents=True)
    file.write_text("from __future__ import annotations\n" + SOURCE, encoding="utf-8")
    environ = {"MLOPS_HOME": str(folder / "home"), "MLOPS_CONFIG": os.devnull, **PATIENT}
    settings = load(environ, {"data.roots": [str(folder)], "runtime.job_slots": 1}).settings
    master = processes.MASTER
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(folder)
        patched.setenv("PYTHONPATH", str(folder))
        work = Work(settings, Tracer(lambda _span: None))
        standing = Standing(work, Jobs(settings), importlib.import_module(MODULE), folder)
        try:
            standing.deploy("old")
            yield standing
        finally:
            processes.MASTER = master
            client.stop_endpoint(work, "credit")
            until(lambda: not handle.runs(work))
            assert marks.found(work.home) == {}
            for name in [name for name in sys.modules if name.split(".")[0] == "probe"]:
                del sys.modules[name]


@pytest.fixture
def standing(made: Standing) -> Standing:
    made.forget_gates()
    return made


@pytest.fixture(params=["cancelled", "killed"])
def end(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def ended(standing: Standing, row: JobRow, how: str) -> None:
    """Cancelled by a server; or killed, with nobody who looks after jobs any more, as when the server is killed too."""
    if how == "cancelled":
        await standing.jobs.cancel(row.id)
        return
    for process in proctree.marked(mark_of(row.id, row.attempt)):
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGKILL)
    await eventually(lambda: not proctree.marked(mark_of(row.id, row.attempt)))


@pytest.mark.parametrize("point", ["loaded", "starting", "ready", "weights"])
async def test_of_a_deployment_that_is_ended_before_it_took_over_nothing_is_left_and_what_served_goes_on(
    standing: Standing, point: str, end: str
) -> None:
    before = standing.state().deployments
    (serving,) = (each.id for each in before)
    row = await standing.stopped(point, f"{point}-{end}")
    assert len(standing.left()[1]) == 2
    await ended(standing, row, end)
    only = {serving}
    await eventually(lambda: standing.left() == (only, only, only))
    assert standing.state().deployments == before
    assert {standing.ask() for _ in range(4)} == only
    standing.deploy(f"after-{point}-{end}")
    assert standing.ask() not in only


async def test_one_that_is_ended_while_what_it_replaced_gives_its_last_answers_has_taken_over(
    standing: Standing, end: str
) -> None:
    (replaced,) = standing.state().deployments
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(standing.ask, **{"X-Held": "1"})
        await eventually(lambda: (standing.folder / "held.reached").exists())
        await ended(standing, await standing.stopped("draining", f"draining-{end}"), end)
        (serving,) = standing.state().deployments
        assert {standing.ask() for _ in range(4)} == {serving.id}
        assert not call.done()
        (standing.folder / "held.open").touch()
        assert call.result() == replaced.id
    only = {serving.id}
    await eventually(lambda: standing.left() == (only, only, only))
    assert serving.percent == 100
    assert client.get_endpoint(standing.work, "credit").rollback_to == replaced.bento


@pytest.mark.parametrize("point", ["loaded", "starting"])
async def test_of_a_first_deployment_that_dies_no_endpoint_is_left(standing: Standing, point: str) -> None:
    row = await standing.stopped(point, point, "first")
    os.kill(row.pid, signal.SIGKILL)
    psutil.wait_procs(proctree.marked(mark_of(row.id, row.attempt)))
    # A server notices it when it looks.
    while (await standing.jobs.get(row.id)).state == "running":
        continue
    folder = standing.work.home / "endpoints"
    await eventually(
        lambda: (
            standing.left("first") == (set(), set(), set())
            and not {each.name for each in folder.glob("first*")} - {"first.lock"}
        )
    )
