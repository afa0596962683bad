"""What an application below is told of its client, while the server runs and once it is told to end."""

from __future__ import annotations

import asyncio

import pytest
from starlette.requests import Request
from starlette.types import Message

from mlops_mcp.server.ending import Ending, Exchange

SCOPE = {"type": "http", "method": "POST", "headers": [], "path": "/", "query_string": b""}


class Line:
    """A client's side of a request, which its server reads as uvicorn does: what is there comes at once."""

    def __init__(self) -> None:
        self.gone = False
        self._read = False

    async def receive(self) -> Message:
        if not self._read:
            self._read = True
            return {"type": "http.request", "body": b"{}", "more_body": False}
        if not self.gone:
            await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    async def send(self, _message: Message) -> None: ...


@pytest.fixture
def line() -> Line:
    return Line()


async def opened(line: Line, ending: Ending, patience_s: float = 0) -> Request:
    request = Request(SCOPE, Exchange(line.receive, line.send, ending, patience_s).receive)
    assert await request.body() == b"{}"
    return request


async def test_whether_a_client_is_gone_is_answered_at_once(line: Line) -> None:
    request = await opened(line, Ending())
    assert not await request.is_disconnected()
    line.gone = True
    assert await request.is_disconnected()


async def test_who_waits_for_its_client_is_told_that_it_is_gone_when_the_server_ends(line: Line) -> None:
    ending = Ending()
    request = await opened(line, ending)
    waiting = asyncio.ensure_future(request.receive())
    await asyncio.sleep(0)
    assert not waiting.done()
    ending.begin()
    assert await waiting == {"type": "http.disconnect"}
    assert await request.receive() == {"type": "http.disconnect"}
