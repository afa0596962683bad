"""Clients whose time-out is shorter than the work: the handle is never lost, and the work is done once."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import pytest
import uvicorn
from mcp import Client
from mcp.types import CallToolResult, Implementation
from pydantic import JsonValue

from mlops_mcp.config.settings import Settings
from mlops_mcp.server.access.callers import Callers
from mlops_mcp.server.app import create_server
from mlops_mcp.server.ending import Ending
from mlops_mcp.server.host import Host
from mlops_mcp.server.scope import digest
from mlops_mcp.server.web import web_app
from mlops_mcp.tools.runtime import proctree
from mlops_mcp.tools.runtime.jobs.launch import mark_of, table_of
from mlops_mcp.tools.runtime.jobs.table import JobRow
from mlops_mcp.tools.runtime.models import ENDED, JobView, Wait
from mlops_mcp.tools.runtime.waits import Caller
from mlops_mcp.tools.spec import Injected, Toolset, reads, writes

from ..waiting import eventually

pytestmark = pytest.mark.slow

JOBS = """
import time
from pathlib import Path
from pydantic import BaseModel
from mlops_mcp.tools.errors import ToolFailure

class Request(BaseModel):
    gate: str
    number: float = 1

class Result(BaseModel):
    number: float

def wait(work, request: Request) -> Result:
    Path(request.gate + ".began").touch()
    while not Path(request.gate).exists(): time.sleep(0.01)
    if request.number < 0: raise ToolFailure("no such number", "Try another.")
    return Result(number=request.number)

def hold(work, gate):
    with open(gate + ".runs", "a") as file: file.write("x")
    while not Path(gate).exists(): time.sleep(0.01)
    return Path(gate + ".runs").read_text()
"""


async def run_job(
    context: Injected, gate: str, number: float = 1, extra: str | None = None, wait_s: Wait = None
) -> JobView[JsonValue]:
    """Wait for a gate in a job."""
    module = import_module("probe.tools.impatient.client")
    view = await context.submit(module.wait, module.Request(gate=gate, number=number), wait_s)
    return JobView[JsonValue].model_validate(view.model_dump(mode="json"))


async def run_call(context: Injected, gate: str) -> str:
    """Wait for a gate in a call."""
    return await context.call(import_module("probe.tools.impatient.client").hold, gate)


PROBES = Toolset("impatient", "", (writes(run_job, "Run job", job="long"), reads(run_call, "Run call")))
Mode = Literal["auto", "legacy"]
Open = Callable[..., Any]


@pytest.fixture
def probe(probes: Callable[[str, str], Any]) -> Any:
    return probes("impatient", JOBS)


class Clock:
    """The clock of the waits, which goes on when it is told to."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("mlops_mcp.tools.runtime.waits.time", clock)
    return clock


@pytest.fixture
def quick(settings: Settings, monkeypatch: pytest.MonkeyPatch, probe: Any) -> Generator[Settings]:
    """All waits are short."""
    monkeypatch.setattr("mlops_mcp.tools.runtime.waits.BY_HAND_S", 0.2)
    monkeypatch.setattr("mlops_mcp.server.in_flight.BY_HAND_S", 0.2)
    runtime = settings.runtime.model_copy(
        update={"wait_s": 1.0, "client_waits": {"mcp": 0.17}, "preload": "never", "job_slots": 1}
    )
    changed = settings.model_copy(update={"runtime": runtime})
    yield changed
    table = table_of(changed)
    for row in table.unfinished():
        table.cancel(row.id)
        proctree.kill(mark_of(row.id, row.attempt))


@asynccontextmanager
async def listening(server: Host) -> AsyncGenerator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        settings = server.services.settings
        app = web_app(server, settings, Callers(settings), True, Ending())
        options = uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=1)
        serving = uvicorn.Server(options)
        task = asyncio.create_task(serving.serve(sockets=[listener]))
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/mcp"
        finally:
            serving.should_exit = True
            await task


@asynccontextmanager
async def connected(settings: Settings, transport: str, **options: Any) -> AsyncGenerator[tuple[Host, Client]]:
    server = create_server(settings, PROBES)
    async with server.services.running():
        if transport == "lines":
            async with Client(server, **options) as client:
                yield server, client
        else:
            async with listening(server) as url, Client(url, **options) as client:
                yield server, client


def rows(settings: Settings) -> list[JobRow]:
    return table_of(settings).recent(100)


def seen(answer: CallToolResult) -> dict[str, Any]:
    assert not answer.is_error, answer.content
    assert answer.structured_content is not None
    return answer.structured_content


async def lost(client: Client, settings: Settings, arguments: dict[str, Any]) -> None:
    """A call that its client gives up once there is a job."""
    call = asyncio.create_task(client.call_tool("run_job", {**arguments, "wait_s": 50}))
    await eventually(lambda: rows(settings))
    call.cancel()
    await asyncio.wait([call])


TIME_OUTS = {"mcp": 5.0, "somebody": 10.0, "anybody": 30.0}


@pytest.mark.parametrize("mode", ["auto", "legacy"])
@pytest.mark.parametrize("transport", ["lines", "http"])
async def test_whatever_the_time_out_of_a_client_it_gets_the_result_of_its_one_job(
    quick: Settings, clock: Clock, tmp_path: Path, transport: str, mode: Mode
) -> None:
    server = create_server(quick, PROBES)

    async def gives_up_twice(client: Client, name: str) -> str:
        arguments = {"gate": str(tmp_path / name), "wait_s": 50}
        for _ in range(2):
            call = asyncio.create_task(client.call_tool("run_job", arguments))
            await eventually(lambda: any(name in row.request for row in rows(quick)))
            clock.now += TIME_OUTS[name]
            call.cancel()
            await asyncio.wait([call])
            await eventually(lambda: len(server.services.waits) > list(TIME_OUTS).index(name))
        told = seen(await client.call_tool("run_job", {**arguments, "wait_s": 0}))
        assert f"joins {told['job']}" in told["notes"][0]
        return told["job"]

    async with server.services.running(), listening(server) as url, AsyncExitStack() as opened:
        for name, time_out_s in TIME_OUTS.items():
            info = Implementation(name=name, version="1")
            address = server if transport == "lines" else url
            client = await opened.enter_async_context(Client(address, mode=mode, client_info=info))
            job = await gives_up_twice(client, name)
            peer = digest(f"client {name} at 127.0.0.1" if transport == "http" else f"client {name}")
            assert server.services.waits.limit(Caller(client=name, peer=peer)).given_up_s == time_out_s
            (tmp_path / name).touch()
            while (answer := seen(await client.call_tool("get_job", {"job": job})))["state"] not in ENDED:
                pass
            assert answer["result"] == {"number": 1}
    assert [row.state for row in rows(quick)] == ["done"] * 3


@pytest.mark.parametrize("mode", ["auto", "legacy"])
@pytest.mark.parametrize("transport", ["lines", "http"])
async def test_after_one_time_out_the_next_answers_come_sooner_and_say_so(
    quick: Settings, clock: Clock, tmp_path: Path, transport: str, mode: Mode
) -> None:
    arguments = {"gate": str(tmp_path / "never"), "wait_s": 50}
    info = Implementation(name="somebody", version="1")
    async with connected(quick, transport, mode=mode, client_info=info) as (server, client):
        call = asyncio.create_task(client.call_tool("run_job", arguments))
        await eventually(lambda: rows(quick))
        clock.now += 0.6
        call.cancel()
        await asyncio.wait([call])
        await eventually(lambda: len(server.services.waits))
        answer = seen(await client.call_tool("run_job", arguments))
    assert answer["state"] in ("queued", "running")
    (joined, cut) = sorted(answer["notes"])
    assert joined.startswith("This joins job:")
    assert cut == "waited 0.4 s at most, since this client gave up a call after 0.6 s"
    assert answer["next"] == f"get_job(job='{answer['job']}')"
    assert len(rows(quick)) == 1


async def test_the_same_call_joins_its_job_however_it_is_spelled_and_says_so(quick: Settings, tmp_path: Path) -> None:
    gate = str(tmp_path / "gate")
    async with connected(quick, "lines") as (_, client):
        first = seen(await client.call_tool("run_job", {"gate": gate, "wait_s": 0}))
        spelled = [{"gate": gate, "number": 1}, {"gate": gate, "number": 1.0, "wait_s": 0}]
        for again in [seen(await client.call_tool("run_job", each)) for each in spelled]:
            assert again["job"] == first["job"]
            (note,) = again["notes"]
            assert note.startswith(f"This joins {first['job']}, begun ")
            assert "Pass an idempotency_key" in note
        for other in ({"number": 2}, {"idempotency_key": "k"}, {"budget_s": 50}):
            assert seen(await client.call_tool("run_job", {"gate": gate, "wait_s": 0, **other}))["job"] != first["job"]
    assert len(rows(quick)) == 4


async def test_two_at_once_make_one_job(quick: Settings, tmp_path: Path) -> None:
    arguments = {"gate": str(tmp_path / "gate"), "wait_s": 0}
    async with connected(quick, "lines") as (_, client):
        answers = await asyncio.gather(*(client.call_tool("run_job", arguments) for _ in range(8)))
    assert len({seen(answer)["job"] for answer in answers}) == len(rows(quick)) == 1
    assert sum(1 for answer in answers if seen(answer).get("notes")) == 7


async def test_nobody_joins_the_job_of_another_caller(quick: Settings, tmp_path: Path) -> None:
    arguments = {"gate": str(tmp_path / "gate"), "wait_s": 0}
    server = create_server(quick, PROBES)
    async with server.services.running(), listening(server) as url:
        for mode, name in (("auto", "a"), ("auto", "b"), ("legacy", "a"), ("legacy", "a"), ("auto", "a")):
            info = Implementation(name=name, version="1")
            async with Client(url, mode=mode, client_info=info) as client:  # pyright: ignore[reportArgumentType]
                seen(await client.call_tool("run_job", arguments))
    # The last one is the first caller again: nothing but its name and address is known of either.
    assert len(rows(quick)) == 4


@pytest.mark.usefixtures("clock")
async def test_what_was_answered_runs_anew_and_what_was_not_is_told_once(quick: Settings, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    async with connected(quick, "lines") as (_, client):
        await lost(client, quick, {"gate": str(gate)})
        gate.touch()
        await eventually(lambda: rows(quick)[0].state == "done")
        again = seen(await client.call_tool("run_job", {"gate": str(gate)}))
        assert (again["state"], len(again["notes"]), len(rows(quick))) == ("done", 1, 1)
        anew = seen(await client.call_tool("run_job", {"gate": str(gate), "wait_s": 0}))
        assert anew["job"] != again["job"]
        assert not anew["notes"]


@pytest.mark.usefixtures("clock")
async def test_a_failure_that_was_not_told_is_told_and_then_tried_again(quick: Settings, tmp_path: Path) -> None:
    arguments = {"gate": str(tmp_path / "gate"), "number": -1}
    async with connected(quick, "lines") as (_, client):
        await lost(client, quick, arguments)
        (tmp_path / "gate").touch()
        await eventually(lambda: rows(quick)[0].state == "failed")
        told = await client.call_tool("run_job", arguments)
        assert told.is_error
        text = str(told.content)
        assert "no such number" in text
        assert "This joins job:" in text
        assert len(rows(quick)) == 1
        await client.call_tool("run_job", {**arguments, "wait_s": 0})
    assert len(rows(quick)) == 2


async def test_a_job_that_was_cancelled_on_purpose_is_not_joined(quick: Settings, tmp_path: Path) -> None:
    arguments = {"gate": str(tmp_path / "gate"), "wait_s": 0}
    async with connected(quick, "lines") as (_, client):
        first = seen(await client.call_tool("run_job", arguments))
        seen(await client.call_tool("cancel_job", {"job": first["job"]}))
        assert seen(await client.call_tool("run_job", arguments))["job"] != first["job"]


async def test_over_lines_a_server_that_is_started_again_knows_the_job(quick: Settings, tmp_path: Path) -> None:
    gate, told = tmp_path / "gate", list[str]()
    for _ in range(2):
        async with connected(quick, "lines") as (_, client):
            told.append(seen(await client.call_tool("run_job", {"gate": str(gate), "wait_s": 0}))["job"])
        gate.touch()
    assert told == [f"job:{row.id}" for row in rows(quick)] * 2


async def test_a_call_that_outlasts_its_client_is_done_once_and_fetched(
    quick: Settings, clock: Clock, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    async with connected(quick, "lines") as (_, client), asyncio.timeout(600):
        # A client that tells nobody that it gave up.
        lost = asyncio.create_task(client.call_tool("run_call", {"gate": str(gate)}))
        await eventually(lambda: Path(f"{gate}.runs").exists())
        clock.now += 10
        told = await client.call_tool("run_call", {"gate": str(gate)})
        assert told.is_error
        assert "goes on. Repeat the same call" in str(told.content)
        gate.touch()
        while (answer := await client.call_tool("run_call", {"gate": str(gate)})).is_error:
            pass
        assert answer.structured_content == {"result": "x"}
        await asyncio.wait([lost])
