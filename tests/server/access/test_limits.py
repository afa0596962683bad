"""What one caller may have going on, and what becomes of requests that never arrive."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import uvicorn
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from mlops_mcp.config.settings import Settings
from mlops_mcp.server.access.crowd import Admission, Crowd, Limits, Session
from mlops_mcp.server.access.gate import IDENTITY
from mlops_mcp.server.ending import WebServer
from mlops_mcp.server.patience import patient
from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.runtime.identity import Identity
from mlops_mcp.tools.runtime.jobs.alive import machine
from mlops_mcp.tools.runtime.jobs.launch import home_id, stored, table_of
from mlops_mcp.tools.runtime.jobs.shares import Quota, Slots
from mlops_mcp.tools.runtime.jobs.table import NewJob

from .conftest import Door, opened

HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}


def job_of(settings: Settings, owner: str) -> NewJob:
    return NewJob("t", "", "x:y", "{}", 1, "", "", None, stored(settings), "/", home_id(settings), "{}", owner=owner)


def test_a_token_has_so_many_jobs_that_have_not_ended(settings: Settings) -> None:
    table = table_of(settings)
    first, _ = (table.insert(job_of(settings, "ann"), quota=Quota(2)) for _ in range(2))
    with pytest.raises(ToolFailure, match="2 jobs of ann have not ended") as refusal:
        table.insert(job_of(settings, "ann"), quota=Quota(2))
    assert "cancel_job" in str(refusal.value)
    assert table.insert(job_of(settings, "bob"), quota=Quota(2)).owner == "bob"
    for _ in range(3):
        assert not table.insert(job_of(settings, ""), quota=Quota(2)).owner
    table.cancel(first.id)
    assert table.insert(job_of(settings, "ann"), quota=Quota(2)).state == "queued"


def test_nobody_waits_behind_all_that_another_has_queued(settings: Settings) -> None:
    table, home = table_of(settings), home_id(settings)
    anns = [table.insert(job_of(settings, "ann")).id for _ in range(5)]
    bobs = [table.insert(job_of(settings, "bob")).id for _ in range(2)]
    claimed = [table.claim(home, machine(), Slots(7)) for _ in range(7)]
    order = [row.id for row in claimed if row]
    assert order == [anns[0], bobs[0], anns[1], bobs[1], *anns[2:]]


async def asking(app: ASGIApp, name: str, address: str = "10.0.0.1") -> int:
    """The status that a caller is answered with."""
    found: list[int] = []

    async def send(message: dict[str, object]) -> None:
        if message["type"] == "http.response.start":
            found.append(int(str(message["status"])))

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b""}

    scope: dict[str, object] = {"type": "http", "method": "GET", "path": "/", "headers": [], "client": (address, 1)}
    if name:
        scope[IDENTITY] = Identity(name, "read")
    await app(scope, receive, send)  # type: ignore[arg-type]
    return found[0]


async def test_a_caller_with_too_many_requests_under_way_is_told_to_wait_and_others_are_served(
    settings: Settings,
) -> None:
    free, begun = asyncio.Event(), asyncio.Semaphore(0)

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        begun.release()
        await free.wait()
        await PlainTextResponse("done")(scope, receive, send)

    crowd = Crowd(with_server(settings, caller_requests=2).server)
    app = Limits(slow, crowd)
    running = [asyncio.create_task(asking(app, name)) for name in ("ann", "ann", "bob", "")]
    for _ in running:
        await begun.acquire()
    assert [await asking(app, "ann"), await asking(app, "ann", "10.0.0.2")] == [429, 429]
    assert (crowd.requests, crowd.callers) == (4, 3)
    free.set()
    assert await asyncio.gather(*running) == [200] * 4
    assert await asking(app, "ann") == 200
    assert (crowd.requests, crowd.callers) == (0, 0)


ACCEPT = {"Accept": "application/json, text/event-stream"}


class Sessions:
    """Clients of the handshake era, as they open and use their sessions."""

    def __init__(self, door: Door) -> None:
        self._door = door

    async def opened(self, bearer: dict[str, str]) -> str:
        body = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": HELLO}
        answer = await self._door.http.post("/mcp", json=body, headers={**bearer, **ACCEPT})
        assert answer.status_code == 200, answer.text
        return answer.headers["mcp-session-id"]

    async def used(self, bearer: dict[str, str], session: str) -> int:
        body = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}
        headers = {**bearer, **ACCEPT, "MCP-Protocol-Version": "2025-11-25", "Mcp-Session-Id": session}
        return (await self._door.http.post("/mcp", json=body, headers=headers)).status_code


def with_server(settings: Settings, **changed: object) -> Settings:
    return settings.model_copy(update={"server": settings.server.model_copy(update=changed)})


async def test_the_session_that_a_caller_used_longest_ago_makes_room_for_its_next_one(settings: Settings) -> None:
    async with opened(with_server(settings, caller_sessions=2)) as door:
        ann, bob, sessions = door.bearer("ann", "read"), door.bearer("bob", "read"), Sessions(door)
        others = await sessions.opened(bob)
        first, second = await sessions.opened(ann), await sessions.opened(ann)
        assert await sessions.used(ann, first) == 200
        third = await sessions.opened(ann)
        assert [await sessions.used(ann, each) for each in (first, second, third)] == [200, 404, 200]
        assert await sessions.used(bob, others) == 200
        # What is no session of theirs, and what opens none, ends none.
        assert (await door.http.post("/messages/?session_id=1", headers=ann)).status_code == 400
        assert (await door.ask(ann, "tools/list"))["tools"]
        assert [await sessions.used(ann, each) for each in (first, third)] == [200, 200]


async def test_however_many_sessions_there_are_a_newcomer_gets_one_and_who_has_the_most_loses_one(
    settings: Settings,
) -> None:
    async with opened(with_server(settings, sessions=20)) as door:
        bearers = [door.bearer(name, "read") for name in ("ann", "bob", "eve")]
        ann, bob, eve, sessions = *bearers, Sessions(door)
        bobs = await sessions.opened(bob)
        anns = [await sessions.opened(ann) for _ in range(300)]
        eves = [await sessions.opened(eve) for _ in range(3)]
        assert [await sessions.used(eve, each) for each in eves] == [200] * 3
        assert await sessions.used(bob, bobs) == 200
        alive = [await sessions.used(ann, each) for each in anns[-20:]]
        assert alive == [404] * 4 + [200] * 16


@pytest.mark.parametrize("listened", [False, True])
def test_a_session_whose_answer_is_awaited_is_never_the_one_to_go(settings: Settings, listened: bool) -> None:
    crowd = Crowd(with_server(settings, caller_sessions=2).server)
    visitor = admitted(crowd, "ann").visitor
    visitor.sessions = {"asks": Session(busy=1, asking=1, last=0), "other": Session(busy=int(listened))}
    assert list(admitted(crowd, "ann").leaving) == ["other"]
    visitor.opening = 0
    visitor.sessions["new"] = Session(busy=1, asking=1)
    refusal = crowd.admit("ann", opens=True)
    assert refusal == "2 sessions of yours are in use: end one by DELETE (server.caller_sessions)"


def admitted(crowd: Crowd, caller: str) -> Admission:
    admission = crowd.admit(caller, opens=True)
    assert isinstance(admission, Admission)
    return admission


@pytest.mark.parametrize(("idle_s", "left"), [(1e-9, []), (1e9, ["one"])])
def test_sessions_that_nobody_uses_are_not_counted_any_more(settings: Settings, idle_s: float, left: list[str]) -> None:
    crowd = Crowd(with_server(settings, caller_sessions=1, session_idle_s=idle_s).server)
    visitor = admitted(crowd, "ann").visitor
    visitor.sessions["one"] = Session()
    crowd.leave("ann", visitor, opens=True)
    assert list(admitted(crowd, "ann").leaving) == left


@pytest.mark.slow
async def test_a_token_writes_no_more_to_disk_than_it_may_and_others_and_what_frees_it_go_on(
    settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "rows.csv").write_text("a\n" + "".join(f"{row * 7919 % 1000003}\n" for row in range(800_000)))
    (tmp_path / "few.csv").write_text("a\n1\n")
    runtime = settings.runtime.model_copy(update={"caller_disk_mb": 1, "preload": "never"})
    async with opened(settings.model_copy(update={"runtime": runtime})) as door:
        ann, bob = door.bearer("ann", "admin"), door.bearer("bob", "write")
        made = await door.call(ann, "load_dataset", path=str(tmp_path / "rows.csv"))
        assert made["structuredContent"]["rows"] == 800_000
        refusal = await door.call(ann, "load_dataset", path=str(tmp_path / "few.csv"))
        assert refusal["isError"]
        assert "1 MB are allowed (runtime.caller_disk_mb)" in refusal["content"][0]["text"]
        gone = await door.call(ann, "delete", handle=made["structuredContent"]["dataset"], dry_run=False)
        assert gone["structuredContent"]["state"] == "deleted"
        assert not (await door.call(ann, "list_datasets")).get("isError")
        assert not (await door.call(bob, "load_dataset", path=str(tmp_path / "few.csv"))).get("isError")


@asynccontextmanager
async def listening(app: ASGIApp, patience_s: float) -> AsyncGenerator[int]:
    """The port of a web server in this process."""
    web = WebServer(uvicorn.Config(app, port=0, http=patient(patience_s), log_config=None, lifespan="off"))
    task = asyncio.create_task(web.serve())
    while not web.started:
        await asyncio.sleep(0)
    try:
        yield web.servers[0].sockets[0].getsockname()[1]
    finally:
        web.should_exit = True
        await task


async def test_half_a_request_does_not_stay_and_a_slow_answer_does(settings: Settings) -> None:
    given_up = asyncio.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        while scope["method"] == "POST" and (await receive())["type"] != "http.disconnect":
            pass
        await given_up.wait()
        with suppress(OSError):
            await PlainTextResponse("whole")(scope, receive, send)

    head = b"POST / HTTP/1.1\r\nHost: a\r\n"
    halves = (b"", b"GET", head, head + b"Content-Length: 9\r\n\r\n1234", b"GET / HT")
    async with asyncio.timeout(60), listening(slow, 0.2) as port:
        whole_in, whole_out = await asyncio.open_connection("127.0.0.1", port)
        whole_out.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        connections = [await asyncio.open_connection("127.0.0.1", port) for _ in halves * 20]
        for (_, out), half in zip(connections, halves * 20, strict=True):
            out.write(half)
        answers = [await incoming.read() for incoming, _ in connections]
        given_up.set()
        assert (await whole_in.read()).endswith(b"whole")
        for _, out in (*connections, (whole_in, whole_out)):
            out.close()
    assert {answer[:12] for answer in answers} == {b"HTTP/1.1 408", b""}
    assert answers[1].startswith(b"HTTP/1.1 408")
