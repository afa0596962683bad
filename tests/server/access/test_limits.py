"""What one caller may have going on, and what becomes of requests that never arrive."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

import httpx2
import pytest
import uvicorn
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from mlops_mcp.config.settings import Settings
from mlops_mcp.server.access.crowd import Crowd, Guest, Limits, Session
from mlops_mcp.server.access.gate import IDENTITY
from mlops_mcp.server.ending import WebServer
from mlops_mcp.server.patience import patient
from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.runtime.identity import Identity
from mlops_mcp.tools.runtime.jobs.alive import machine
from mlops_mcp.tools.runtime.jobs.launch import home_id, stored, table_of
from mlops_mcp.tools.runtime.jobs.table import NewJob

from .conftest import opened

HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}


def job_of(settings: Settings, owner: str) -> NewJob:
    return NewJob("t", "", "x:y", "{}", 1, "", "", None, stored(settings), "/", home_id(settings), "{}", owner=owner)


def test_a_token_has_so_many_jobs_that_have_not_ended(settings: Settings) -> None:
    table = table_of(settings)
    first, _ = (table.insert(job_of(settings, "ann"), most=2) for _ in range(2))
    with pytest.raises(ToolFailure, match="2 jobs of ann have not ended") as refusal:
        table.insert(job_of(settings, "ann"), most=2)
    assert "cancel_job" in str(refusal.value)
    assert table.insert(job_of(settings, "bob"), most=2).owner == "bob"
    for _ in range(3):
        assert not table.insert(job_of(settings, ""), most=2).owner
    table.cancel(first.id)
    assert table.insert(job_of(settings, "ann"), most=2).state == "queued"


def test_nobody_waits_behind_all_that_another_has_queued(settings: Settings) -> None:
    table, home = table_of(settings), home_id(settings)
    anns = [table.insert(job_of(settings, "ann")).id for _ in range(5)]
    bobs = [table.insert(job_of(settings, "bob")).id for _ in range(2)]
    claimed = [table.claim(home, machine(), 7) for _ in range(7)]
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

    crowd = Crowd(settings.server.model_copy(update={"caller_requests": 2}))
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


async def test_a_caller_has_so_many_sessions_and_may_end_one_for_another(settings: Settings) -> None:
    few = settings.model_copy(update={"server": settings.server.model_copy(update={"caller_sessions": 2})})
    async with opened(few) as door:
        ann, bob = door.bearer("ann", "read"), door.bearer("bob", "read")
        accept = {"Accept": "application/json, text/event-stream"}

        async def hello(bearer: dict[str, str]) -> httpx2.Response:
            body = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": HELLO}
            return await door.http.post("/mcp", json=body, headers={**bearer, **accept})

        sessions = [(await hello(ann)).headers["mcp-session-id"] for _ in range(2)]
        refusal = await hello(ann)
        assert (refusal.status_code, refusal.headers["retry-after"]) == (429, "5")
        assert "server.caller_sessions" in refusal.json()["error_description"]
        assert (await hello(bob)).status_code == 200
        assert (await door.ask(ann, "tools/list"))["tools"]
        own = {**ann, **accept, "MCP-Protocol-Version": "2025-11-25"}
        assert (await door.http.delete("/mcp", headers={**own, "Mcp-Session-Id": sessions[0]})).status_code == 200
        assert (await hello(ann)).status_code == 200
        assert (await hello(ann)).status_code == 429


@pytest.mark.parametrize(("idle_s", "room"), [(1e-9, True), (1e9, False)])
def test_sessions_that_nobody_uses_are_not_counted_any_more(settings: Settings, idle_s: float, room: bool) -> None:
    crowd = Crowd(settings.server.model_copy(update={"caller_sessions": 1, "session_idle_s": idle_s}))
    guest = crowd.admit("ann", opens=True)
    assert isinstance(guest, Guest)
    guest.sessions["one"] = Session()
    crowd.leave("ann", guest, opens=True)
    assert isinstance(crowd.admit("ann", opens=True), Guest) == room


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
