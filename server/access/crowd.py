"""How much one caller may have going on at a time, so that another one always finds room."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from mcp.types.version import HANDSHAKE_PROTOCOL_VERSIONS
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ...config.settings import ServerSettings
from .gate import identity_of

SESSION, VERSION = "mcp-session-id", "mcp-protocol-version"
RETRY_S = 5


@dataclass
class Session:
    """A session of the handshake era: requests that are under way, and when the last one has ended."""

    busy: int = 0
    last: float = field(default_factory=time.monotonic)


@dataclass
class Guest:
    """What one caller has going on; `opening` are requests that may become sessions."""

    requests: int = 0
    opening: int = 0
    sessions: dict[str, Session] = field(default_factory=dict[str, Session])

    def forget_idle(self, idle_s: float) -> None:
        """The SDK ends a session that is idle for so long, and tells nobody."""
        oldest = time.monotonic() - idle_s
        for name in [name for name, each in self.sessions.items() if not each.busy and each.last < oldest]:
            del self.sessions[name]


class Crowd:
    """Counts the requests and sessions of each caller, by its token, else its address; too many are answered 429."""

    def __init__(self, options: ServerSettings) -> None:
        self._options = options
        self._guests: dict[str, Guest] = {}

    @property
    def requests(self) -> int:
        return sum(guest.requests for guest in self._guests.values())

    @property
    def sessions(self) -> int:
        return sum(len(guest.sessions) for guest in self._guests.values())

    @property
    def callers(self) -> int:
        return len(self._guests)

    def admit(self, caller: str, opens: bool) -> Guest | str:
        """The caller, whose request is counted from now on, or why there is no room for it."""
        guest, options = self._guests.setdefault(caller, Guest()), self._options
        if guest.requests >= options.caller_requests:
            return f"{guest.requests} requests of yours are under way: wait for one (server.caller_requests)"
        if opens:
            guest.forget_idle(options.session_idle_s)
            if (number := len(guest.sessions) + guest.opening) >= options.caller_sessions:
                return f"{number} sessions of yours are open: use or end one by DELETE (server.caller_sessions)"
        guest.requests += 1
        guest.opening += opens
        return guest

    def leave(self, caller: str, guest: Guest, opens: bool) -> None:
        guest.requests -= 1
        guest.opening -= opens
        if not guest.requests:
            guest.forget_idle(self._options.session_idle_s)
        if not (guest.requests or guest.sessions):
            self._guests.pop(caller, None)


class Limits:
    """Lets no request pass that is one too many of its caller."""

    def __init__(self, app: ASGIApp, crowd: Crowd) -> None:
        self._app = app
        self._crowd = crowd

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers, caller = Headers(scope=scope), _caller(scope)
        opens = _may_open(scope["method"], headers)
        guest = self._crowd.admit(caller, opens)
        if isinstance(guest, str):
            said = {"error": "too_many_requests", "error_description": guest}
            await JSONResponse(said, 429, {"Retry-After": str(RETRY_S)})(scope, receive, send)
            return
        try:
            await Visit(guest, scope["method"], headers.get(SESSION, "")).run(self._app, scope, receive, send)
        finally:
            self._crowd.leave(caller, guest, opens)


class Visit:
    """One request: what it makes of the sessions of its caller."""

    def __init__(self, guest: Guest, method: str, session: str) -> None:
        self._guest = guest
        self._ends = session if method == "DELETE" else ""
        self._known = guest.sessions.get(session)

    async def run(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] < 400:
                self._note(Headers(raw=list(message["headers"])))
            await send(message)

        if self._known:
            self._known.busy += 1
        try:
            await app(scope, receive, watched)
        finally:
            if self._known:
                self._known.busy -= 1
                self._known.last = time.monotonic()

    def _note(self, headers: Mapping[str, str]) -> None:
        if self._ends:
            self._guest.sessions.pop(self._ends, None)
        elif (session := headers.get(SESSION)) and not self._known:
            self._guest.sessions.setdefault(session, Session())


def _may_open(method: str, headers: Mapping[str, str]) -> bool:
    """Only the handshake era has sessions; a request without one may open it."""
    version = headers.get(VERSION)
    era = version is None or version in HANDSHAKE_PROTOCOL_VERSIONS
    return method == "POST" and SESSION not in headers and era


def _caller(scope: Scope) -> str:
    """By its kind as well: a token may have the name of an address."""
    if name := identity_of(Request(scope)).name:
        return f"token {name}"
    return f"address {scope['client'][0]}" if scope.get("client") else "address"
