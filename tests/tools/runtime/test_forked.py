"""A job that is forked from the template is as much on its own as one that was started cold."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from pydantic import SecretStr

from mlops_mcp.config.settings import Settings
from mlops_mcp.tools.runtime.jobs.launch import keeper_environment, table_of
from mlops_mcp.tools.runtime.jobs.queue import Jobs
from mlops_mcp.tools.runtime.jobs.submission import Submission
from mlops_mcp.tools.runtime.jobs.table import JobRow
from mlops_mcp.tools.runtime.proctree import MARK
from mlops_mcp.tools.runtime.template.fork import Start, fork_elsewhere
from mlops_mcp.tools.runtime.template.handle import ADDRESS, Template

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

SECRET = "planted-in-settings-4711"
STANDING = r"""
import json, os, re, resource, signal, sys, tempfile, time
from pathlib import Path
from pydantic import BaseModel
from mlops_mcp.tools.runtime.template.fork import Start, fork_elsewhere

# Not as it stands there, so that this does not find itself.
WORD = re.compile(rb"planted-in-s[e]ttings-4711")

class Request(BaseModel):
    folder: str
    home: str

def plant(work, request: Request) -> list[int]:
    environment = {"MARKED": "credit.1", "HOMED": request.home, "TMPDIR": request.folder}
    log = Path(request.folder, "log.txt")
    start = Start(__name__, [request.folder], environment, ["MARKED", "HOMED"], log, sys.path, 1 << 30)
    return [os.getpid(), os.getppid(), fork_elsewhere(start) or 0, remembers()]

def remembers():
    with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb", 0) as memory:
        for line in maps:
            place, rights, _, _, inode = line.split()[:5]
            if rights.startswith("rw") and inode == "0":
                start, end = (int(each, 16) for each in place.split("-"))
                memory.seek(start)
                if WORD.search(memory.read(end - start)):
                    return True
    return False

def opened():
    for number in os.listdir("/proc/self/fd"):
        try: yield os.readlink(f"/proc/self/fd/{number}")
        except OSError: continue

def main(folder):
    print("a word on stdout")
    found = {
        "session": os.getsid(0), "files": list(opened()), "variables": dict(os.environ), "remembers": remembers(),
        "temporary": tempfile.gettempdir(),
        "preloaded": "xgboost" in sys.modules, "data": resource.getrlimit(resource.RLIMIT_DATA)[0],
        "signals": [signal.getsignal(n) == signal.SIG_DFL for n in (signal.SIGTERM, signal.SIGCHLD)],
    }
    Path(folder, "facts.part").write_text(json.dumps(found))
    Path(folder, "facts.part").rename(Path(folder, "facts.json"))
    while not Path(folder, "gate").exists(): time.sleep(0.01)
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


async def planted(jobs: Jobs, module: Any, folder: Path, home: str) -> list[int]:
    request = module.Request(folder=str(folder), home=home)
    row = await ended(jobs, await jobs.submit(Submission("x", module.plant, request)), 120)
    assert row.state == "done", row.error
    return list(json.loads(row.result or ""))


async def test_what_a_job_has_forked_out_of_the_template_stands_alone_and_knows_no_secret_of_the_job(
    settings: Settings, template: Template, probes: Any, tmp_path: Path
) -> None:
    opik = settings.opik.model_copy(update={"api_key": SecretStr(SECRET), "enabled": False})
    jobs = Jobs(with_runtime(settings, job_slots=0).model_copy(update={"opik": opik}))
    work, keeper, pid, remembers = await planted(jobs, probes("standing", STANDING), tmp_path, str(tmp_path))
    assert remembers, "a job has the secrets, or nothing is looked for here"
    await eventually((tmp_path / "facts.json").exists)
    found, process = json.loads((tmp_path / "facts.json").read_text()), psutil.Process(pid)
    assert found["session"] == pid
    assert {work, keeper, template.pid, os.getpid()}.isdisjoint({pid, process.ppid()})
    assert found["preloaded"]
    assert not found["remembers"]
    assert all(found["signals"])
    assert found["variables"] == {"MARKED": "credit.1", "HOMED": str(tmp_path), "TMPDIR": str(tmp_path)}
    assert found["temporary"] == str(tmp_path)
    assert not [name for name in found["files"] if name.startswith(("socket:", "pipe:", "anon_inode:"))]
    assert found["data"] > 1 << 30, "what it starts with is not counted"
    assert (tmp_path / "log.txt").read_text() == "a word on stdout\n"
    shown = process.environ()
    assert (shown["MARKED"], shown["HOMED"]) == ("credit.1", str(tmp_path))
    assert MARK not in found["variables"]
    assert set(shown[MARK]) == {"0"}, "it would be ended with the job"
    (tmp_path / "gate").touch()
    await eventually(lambda: not psutil.pid_exists(pid) or process.status() == psutil.STATUS_ZOMBIE)


def test_nothing_is_forked_for_what_would_not_be_found_again_or_out_of_a_template_that_is_gone(
    template: Template, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forked(home: Path) -> int | None:
        given = {"MARKED": "credit.1", "HOMED": str(home)}
        return fork_elsewhere(Start("nothing", [], given, list(given), tmp_path / "log.txt", []))

    monkeypatch.setenv(ADDRESS, template.told[ADDRESS])
    assert forked(tmp_path / ("long/" * 300)) is None
    monkeypatch.setenv(ADDRESS, f"{'0' * 64} {tmp_path / 'gone'}")
    assert forked(tmp_path) is None
    monkeypatch.delenv(ADDRESS)
    assert forked(tmp_path) is None
    assert not (tmp_path / "log.txt").exists()
    assert template.ready


def test_nobody_is_served_without_the_key_of_the_server_and_the_template_lives_on(
    template: Template, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a job would ask that is held, and has found the socket among those of the system."""
    key, _, address = template.told[ADDRESS].partition(" ")
    given = {"MARKED": "credit.1"}
    start = Start("nothing", [], given, list(given), tmp_path / "log.txt", sys.path)
    for said in (b"", b"short", b"x" * 32, b"x" * 4096):
        with socket.socket(socket.AF_UNIX) as asker:
            asker.connect(address)
            asker.sendall(said)
    monkeypatch.setenv(ADDRESS, f"{'0' * 64} {address}")
    assert fork_elsewhere(start) is None
    assert not (tmp_path / "log.txt").exists()
    monkeypatch.setenv(ADDRESS, f"{key} {address}")
    assert fork_elsewhere(start)
    assert template.ready


def test_a_job_that_is_held_is_not_told_the_way_to_the_template(
    template: Template, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As the keeper of one that deploys starts the next job.
    monkeypatch.setenv(ADDRESS, template.told[ADDRESS])
    held = (("training", "training.client:train_model"), ("serving", "batch:predict_dataset"))
    assert not any(ADDRESS in keeper_environment(settings, *each) for each in held)
    assert ADDRESS in keeper_environment(settings, "serving", "client:deploy_model")
