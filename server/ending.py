"""How the HTTP server ends: nobody who only listens keeps it, and no answer breaks off in the middle."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Generator
from contextlib import contextmanager

import anyio
import uvicorn
from mcp.server.subscriptions import ListenHandler
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .host import Host

# For calls that run when the server is told to end; jobs go on without it.
GRACE_S = 3.0
ENDS = "the server ends; jobs go on, and get_job finds them once it is back"
CUT = "the request is given up, since its token has been revoked"


class Ending:
    """Whether the server has been told to end, and who waits for a client that will not matter then.

    `announced` comes first: it is told no more calls, and those that come are served all the same until it has `begun`.
    """

    def __init__(self) -> None:
        self.announced = self.begun = False
        self._waiting: dict[anyio.CancelScope, float] = {}

    def begin(self) -> None:
        self.announced = self.begun = True
        for scope, patience_s in self._waiting.items():
            _cut(scope, patience_s)

    @contextmanager
    def cuts(self, patience_s: float) -> Generator[None]:
        """What is awaited inside is given up so long after the server was told to end."""
        with anyio.CancelScope() as scope:
            self._waiting[scope] = patience_s
            if self.begun:
                _cut(scope, patience_s)
            try:
                yield
            finally:
                del self._waiting[scope]


def _cut(scope: anyio.CancelScope, patience_s: float) -> None:
    asyncio.get_running_loop().call_later(patience_s, scope.cancel)


class EndsInOrder:
    """Tells the applications below that the client is gone when the server ends, and completes what they began."""

    def __init__(self, app: ASGIApp, ending: Ending) -> None:
        self._app = app
        self._ending = ending

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = Exchange(receive, send, self._ending, 0 if scope["method"] == "GET" else GRACE_S)
        await self._app(scope, exchange.receive, exchange.send)
        if exchange.complete:
            return
        if exchange.begun:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        else:
            await PlainTextResponse(ENDS if self._ending.begun else CUT, status_code=503)(scope, receive, send)


class Exchange:
    """A request and its answer."""

    def __init__(self, receive: Receive, send: Send, ending: Ending, patience_s: float) -> None:
        self.begun = self.complete = False
        self._receive = receive
        self._send = send
        self._ending = ending
        self._patience_s = patience_s
        self._read = False

    async def receive(self) -> Message:
        """The next message of the client; once it has asked, the end of the server is the end of its interest."""
        if not self._read:
            message = await self._receive()
            self._read = not message.get("more_body", False)
            return message
        # Nothing else is awaited: whoever asks whether the client is gone wants an answer at once.
        with self._ending.cuts(self._patience_s):
            return await self._receive()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.begun = True
        self.complete = message["type"] == "http.response.body" and not message.get("more_body", False)
        await self._send(message)


class WebServer(uvicorn.Server):
    """uvicorn's server, which would kill the process as soon as it has served, before the last spans are written."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


async def end_on_signal(server: Host, web: WebServer, ending: Ending, drain_s: float = 0) -> None:
    """End in order on SIGTERM and SIGINT; whoever says it twice is in a hurry."""

    async def end_later() -> None:
        await anyio.sleep(drain_s)
        if not ending.begun:
            _end(server, web, ending)

    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with anyio.create_task_group() as group:
            async for _ in signals:
                if drain_s and not ending.announced:
                    ending.announced = True
                    group.start_soon(end_later)
                else:
                    _end(server, web, ending)


def _end(server: Host, web: WebServer, ending: Ending) -> None:
    web.force_exit = web.should_exit
    web.should_exit = True
    ending.begin()
    listening = server.protocol.get_request_handler("subscriptions/listen")
    if listening is not None and isinstance(listening.handler, ListenHandler):
        listening.handler.close()
