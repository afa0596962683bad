"""The shipper as a process of its own: when it starts, whom it outlives, when it ends."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from mlops_mcp.config.settings import Settings
from mlops_mcp.config.watch import Watch
from mlops_mcp.tools.tracing.opik.launcher import Launcher, start
from mlops_mcp.tools.tracing.opik.outbox import status
from mlops_mcp.tools.tracing.store.process_locks import written

from ..conftest import StdioClient
from ..waiting import eventually, until
from .conftest import FAST, IMPATIENT, Site, with_opik
from .recorder import Recorder

pytestmark = pytest.mark.slow


@pytest.fixture
def processes() -> Any:
    """Process ids of shippers, which are ended with the test."""
    started: list[int] = []
    yield started
    for pid in started:
        try:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        except (ProcessLookupError, ChildProcessError):
            continue


def gone(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG) != (0, 0)
    except ChildProcessError:
        return True


def shipper_of(home: Path) -> psutil.Process | None:
    """The shipper that holds the lock of a state folder."""
    for process in psutil.process_iter(["cmdline"]):
        if "mlops_mcp.tools.tracing.opik.shipper" in (process.info["cmdline"] or ()):
            try:
                if any(file.path.startswith(str(home)) for file in process.open_files()):
                    return process
            except psutil.Error:
                continue
    return None


def rows(home: Path) -> int:
    return status(home / "traces.db").stored


def test_it_ships_what_a_server_has_left_and_ends(site: Site, opik: Recorder, processes: list[int]) -> None:
    site.calls(200)
    pid = start(site.settings, FAST)
    processes.append(pid)
    until(lambda: gone(pid))
    assert set(opik.rows("spans")) == site.made.spans
    assert opik.duplicates == 0
    log = (site.settings.home / "shipper.log").read_text()
    assert log == ""


def test_it_gives_up_when_nobody_writes_and_opik_does_not_answer(
    site: Site, opik: Recorder, processes: list[int]
) -> None:
    opik.become("hang")
    site.calls(3)
    pid = start(site.settings, IMPATIENT)
    processes.append(pid)
    until(lambda: gone(pid))
    assert site.status.waiting == 3 * 4
    assert "ReadTimeout" in site.status.failure


def test_there_is_one_for_a_state_folder(site: Site, opik: Recorder, processes: list[int]) -> None:
    opik.become("503")
    site.calls(3)
    timing = type(FAST)(**{**asdict(FAST), "give_up_s": 120.0})
    processes.append(start(site.settings, timing))
    until(lambda: site.lock.held)
    processes.append(start(site.settings, timing))
    until(lambda: gone(processes[1]))
    assert not gone(processes[0])


def test_it_is_started_only_when_something_waits_and_opik_is_configured(
    site: Site, opik: Recorder, processes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Settings] = []

    def record(settings: Settings, *_: object) -> int:
        started.append(settings)
        return 0

    monkeypatch.setattr("mlops_mcp.tools.tracing.opik.launcher.start", record)
    launcher = Launcher()
    launcher.look(site.settings)
    assert started == []  # nothing waits
    site.calls(1)
    launcher.look(with_opik(site.settings, ""))
    launcher.look(with_opik(site.settings, opik.url, enabled=False))
    assert started == []  # no Opik
    launcher.look(site.settings)
    assert len(started) == 1


def test_a_killed_shipper_loses_nothing(site: Site, opik: Recorder, processes: list[int]) -> None:
    site.calls(600)
    pid = start(site.settings, FAST)
    processes.append(pid)
    until(lambda: opik.rows("spans"))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert site.status.waiting > 0
    processes.append(start(site.settings, FAST))
    until(site.delivered)
    assert set(opik.rows("traces")) == site.made.traces
    assert set(opik.rows("spans")) == site.made.spans
    assert opik.duplicates <= 200  # the batch that was in flight


class Serving:
    """A stdio server of its own with a configuration file, and the process of it."""

    def __init__(self, folder: Path, stdio: StdioClient) -> None:
        self.file = folder / "user.yaml"
        self.home = folder / "home"
        self._stdio = stdio
        self.configure({})

    def configure(self, opik: dict[str, Any]) -> None:
        draft = self.file.with_suffix(".draft")
        draft.write_text(yaml.safe_dump({"opik": opik} if opik else {}))
        draft.replace(self.file)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[Any]:
        async with self._stdio("--toolset", "jobs", MLOPS_CONFIG=str(self.file)) as client:
            yield client


@pytest.fixture
def serving(tmp_path: Path, stdio_client: StdioClient) -> Any:
    serving = Serving(tmp_path, stdio_client)
    yield serving
    if (process := shipper_of(serving.home)) is not None:
        process.kill()


async def test_opik_is_switched_on_given_another_key_and_switched_off_while_a_server_runs(
    serving: Serving, opik: Recorder
) -> None:
    opik.key = "right"
    async with serving.running() as client:
        await client.call_tool("list_jobs", {})
        await eventually(lambda: rows(serving.home) == 2)
        assert opik.requests == []
        serving.configure({"url": opik.url, "api_key": "wrong"})
        await eventually(lambda: any(request.status == 401 for request in opik.requests))
        assert opik.rows("spans") == {}
        serving.configure({"url": opik.url, "api_key": "right"})
        await eventually(lambda: len(opik.rows("spans")) == 1)
        serving.configure({"url": opik.url, "api_key": "right", "enabled": False})
        await eventually(lambda: shipper_of(serving.home) is None)
        seen = len(opik.requests)
        await client.call_tool("list_jobs", {})
        await eventually(lambda: rows(serving.home) == 4)
        serving.configure({"url": opik.url, "api_key": "right"})
        await eventually(lambda: len(opik.rows("spans")) == 2)
        assert len(opik.requests) > seen
    assert opik.duplicates == 0


async def test_a_server_ends_while_opik_hangs_and_the_rest_is_delivered_later(serving: Serving, opik: Recorder) -> None:
    opik.become("hang")
    serving.configure({"url": opik.url})
    async with serving.running() as client:
        await client.call_tool("list_jobs", {})
        await eventually(lambda: opik.requests)
        await client.call_tool("list_jobs", {})
    # It has not waited for an answer: the last call is still to be delivered.
    assert opik.rows("spans") == {}
    assert not written(serving.home / "traces.db")
    opik.become("ok")
    await eventually(lambda: len(opik.rows("spans")) == 2)


KILLED = """
import sys, time
from pathlib import Path
from mlops_mcp.tools.tracing.span import Tracer
from mlops_mcp.tools.tracing.store.writer import TraceStore

store = TraceStore(Path(sys.argv[1]), 64)
tracer = Tracer(store.put)
while True:
    with tracer.span("call", "tool", input={"x": "y" * 500}) as span:
        pass
    print(span.id, flush=True)
    time.sleep(0.002)
"""


def test_a_killed_writer_loses_at_most_its_last_moment(site: Site, opik: Recorder, processes: list[int]) -> None:
    writer = subprocess.Popen([sys.executable, "-c", KILLED, str(site.store)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    lines = [writer.stdout.readline() for _ in range(500)]
    writer.kill()
    lines += writer.stdout.readlines()
    writer.wait()
    made = [line.strip() for line in lines if line.endswith("\n")]
    processes.append(start(site.settings, FAST))
    until(lambda: gone(processes[0]))
    kept = opik.rows("spans")
    # Nothing is missing in between; how many milliseconds the end is short of is measured by `benchmarks/endings.py`.
    arrived = [identity in kept for identity in made]
    assert arrived == sorted(arrived, reverse=True)
    assert sum(arrived) > 100
    assert opik.duplicates == 0


def test_all_files_are_their_owners_alone(site: Site, opik: Recorder, processes: list[int]) -> None:
    site.calls(1)
    processes.append(start(site.settings, FAST))
    until(lambda: gone(processes[0]))
    files = [file for file in site.settings.home.iterdir() if file.is_file()]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert {"traces.db", "shipper.log"} <= {file.name for file in files}


def test_settings_follow_their_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from mlops_mcp.config.load import load

    environ = {"MLOPS_CONFIG": str(tmp_path / "user.yaml"), "MLOPS_HOME": str(tmp_path)}
    (tmp_path / "user.yaml").write_text("opik: {url: http://one}")
    watch = Watch(load(environ).settings, environ)
    assert (watch.changed(), watch.current().opik.url) == (False, "http://one")
    (tmp_path / "user.yaml").write_text("opik: {url: http://another}")
    assert (watch.changed(), watch.current().opik.url, watch.changed()) == (True, "http://another", False)
    (tmp_path / "user.yaml").write_text("opik: {urls: 1}")
    assert watch.current().opik.url == "http://another"
    assert "unknown setting opik.urls" in caplog.text
