"""What every test stands on: settings of its own, and clients of a real server."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import psutil
import pytest
import pytest_asyncio
from mcp import Client, StdioServerParameters
from mcp.types import CallToolResult

from mlops_mcp.config.load import load
from mlops_mcp.config.settings import Settings
from mlops_mcp.server.app import create_server
from mlops_mcp.tools.runtime.limits import thread_environment
from mlops_mcp.tools.runtime.template.handle import Template, own_template
from mlops_mcp.tools.runtime.template.preload import wanted
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.slices import SLICES
from mlops_mcp.tools.tracing.span import Tracer

from . import browser as browsers
from .groups import turn

if TYPE_CHECKING:
    from playwright.async_api import Browser

ROOT = Path(__file__).parent.parent
FOREIGN = ("MLOPS_", "MLFLOW_", "OPIK_", "FEAST_", "BENTOML_", "ENVIRONMENT")
T = TypeVar("T")

# A server that lives for a few calls need not import what it will never call.
UNHURRIED = {"MLOPS_RUNTIME__PRELOAD": "false"}
# On a busy machine an endpoint takes its time until it answers, and jobs that give way would hardly end.
PATIENT = {"MLOPS_BENTOML__READY_TIMEOUT_S": "600", "MLOPS_RUNTIME__JOB_NICE": "0"}

Needs = Callable[..., str]
StdioClient = Callable[..., AbstractAsyncContextManager[Client]]


def pytest_configure() -> None:
    """Library code that a test calls right here has one thread, as in a worker.

    The processes of a run fill the cores by themselves; pools of threads that spin beside them double their work.
    """
    for name, value in thread_environment(1).items():
        os.environ.setdefault(name, value)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    """Two processes take whole groups of test modules, in the order in which they are collected."""
    from .groups import Groups

    return Groups(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest comes first, so that both processes end at about the same time."""
    items.sort(key=lambda item: turn(item.nodeid))


@pytest.fixture(autouse=True)
def _clean_environment(  # pyright: ignore[reportUnusedFunction]
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Nothing that the developer has configured reaches a test or a process that it starts."""
    monkeypatch.chdir(tmp_path_factory.getbasetemp())  # away from a mlops.yaml
    for name in [name for name in os.environ if name.startswith(FOREIGN)]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def needs() -> Needs:
    """Finds a program on a path (that of this process)."""

    def find(program: str, how: str, path: str | None = None) -> str:
        return shutil.which(program, path=path) or unable(f"{program} is missing: {how}")

    return find


def unable(message: str) -> NoReturn:
    """Skip the test, since this machine cannot run it; TESTS_COMPLETE=1 makes it fail instead."""
    if os.environ.get("TESTS_COMPLETE"):
        pytest.fail(message)
    pytest.skip(message)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncGenerator[Browser]:
    """One Chromium for all tests of a process; those that use it run on the loop of the session."""
    path = browsers.program()
    async with browsers.launched(path or unable(f"chromium is missing: {browsers.HOW}")) as found:
        yield found


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """The variables of an installation of its own: an empty state folder and no user file."""
    config = tmp_path / "empty.yaml"
    config.touch()
    return {
        "MLOPS_HOME": str(tmp_path / "home"),
        "MLOPS_CONFIG": str(config),
        # The tests call themselves as the Python SDK does unless told, and have no time-out.
        "MLOPS_RUNTIME__CLIENT_WAITS": "{}",
        **PATIENT,
    }


@pytest.fixture
def settings(environ: dict[str, str], tmp_path: Path) -> Settings:
    roots = [str(ROOT / "examples"), str(tmp_path)]
    return load(environ, {"data.roots": roots, "runtime.job_slots": 1}).settings


@pytest.fixture
def work(settings: Settings) -> Work:
    """What a client function gets; it may be called right here, in the test's own process."""
    return Work(settings, Tracer(lambda _span: None))


@pytest.fixture
async def client(settings: Settings) -> AsyncGenerator[Client]:
    """A client of a server in this process."""
    async with in_a_task_of_its_own(connected(settings)) as client:
        yield client


@pytest.fixture
def stdio_client(environ: dict[str, str], tmp_path: Path) -> StdioClient:
    """Opens clients of `mlops-mcp serve` in a process of its own; the arguments are those of the command."""

    def start(*arguments: str, **variables: str) -> AbstractAsyncContextManager[Client]:
        return Client(
            StdioServerParameters(
                command=sys.executable,
                args=["-m", "mlops_mcp.server", "serve", *arguments],
                env={"PATH": os.environ["PATH"], "HOME": f"{tmp_path}-user", **environ, **UNHURRIED, **variables},
                cwd=tmp_path,
            )
        )

    return start


@pytest.fixture
def probes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Callable[[str, str], Any]]:
    """Writes a slice `probe.tools.<name>.client` to disk, where workers and job processes find it too."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def write(name: str, source: str) -> Any:
        file = tmp_path / "probe" / "tools" / name / "client.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("from __future__ import annotations\n" + source, encoding="utf-8")
        return __import__(f"probe.tools.{name}.client", fromlist=["client"])

    yield write
    for name in [name for name in sys.modules if name.split(".")[0] == "probe"]:
        del sys.modules[name]


async def finished(client: Client, tool: str, **arguments: Any) -> CallToolResult:
    """What a tool answers; of a job, what it answers once it has ended, however long that takes."""
    answer = await client.call_tool(tool, arguments)
    made = answer.structured_content or {}
    if made.get("state") in ("queued", "running"):
        return await finished(client, "get_job", job=made["job"], wait_s=50)
    return answer


def lives(pid: int) -> bool:
    """Whether a process does anything still: one that has ended may wait for ever to be reaped by who inherited it."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def server_pids() -> list[int]:
    """The servers that this process has started and that still run."""
    found: list[int] = []
    for child in psutil.Process().children():
        try:
            if "mlops_mcp.server" in " ".join(child.cmdline()):
                found.append(child.pid)
        except psutil.Error:  # it has ended
            continue
    return found


@asynccontextmanager
async def connected(settings: Settings) -> AsyncGenerator[Client]:
    if settings.runtime.preload != "never":
        warmed(settings)
    server = create_server(settings)
    async with server.services.running(), Client(server) as client:
        yield client


def warmed(settings: Settings) -> Template:
    """The template of this process, with everything loaded: whatever begins before it is ready imports its own.

    Jobs with another number of threads than those for whom it was started first start cold.
    """
    template, settled = own_template(), threading.Event()
    template.start(wanted(SLICES), settings.runtime.job_threads, settled.set)
    assert settled.wait(600)
    assert template.ready
    return template


@asynccontextmanager
async def in_a_task_of_its_own(opening: AbstractAsyncContextManager[T]) -> AsyncGenerator[T]:
    """Fixtures are set up and torn down in different tasks, which cancel scopes do not survive."""
    opened: asyncio.Future[T] = asyncio.get_running_loop().create_future()
    closing = asyncio.Event()

    async def hold() -> None:
        async with opening as thing:
            opened.set_result(thing)
            await closing.wait()

    task = asyncio.create_task(hold())
    either: set[asyncio.Future[Any]] = {task, opened}
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        await task
    try:
        yield opened.result()
    finally:
        closing.set()
        await task
