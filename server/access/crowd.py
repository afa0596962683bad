"""How much one caller may have going on at a time, so that another one always finds room."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mcp.types.version import HANDSHAKE_PROTOCOL_VERSIONS
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ...config.settings import ServerSettings
from .gate import counted_for

SESSION, VERSION = "mcp-session-id", "mcp-protocol-version"
RETRY_S = 5


@dataclass
class Session:
    """A session of the handshake era: requests that are under way, those among them that want an answer, and when the
    last one has ended. `user` is who has opened it."""

    user: object = None
    busy: int = 0
    asking: int = 0
    last: float = field(default_factory=time.monotonic)

    @property
    def order(self) -> tuple[bool, float]:
        """Those that nobody uses go first, then those that are only listened to, the oldest of each."""
        return self.busy > 0, self.last


@dataclass
class Visitor:
    """What one caller has going on; `opening` are requests that may become sessions."""

    requests: int = 0
    opening: int = 0
    sessions: dict[str, Session] = field(default_factory=dict[str, Session])

    @property
    def rooms(self) -> int:
        return len(self.sessions) + self.opening

    @property
    def spare(self) -> str:
        """The session that can be done without the most; empty if all are being answered."""
        free = [name for name, each in self.sessions.items() if not each.asking]
        return min(free, key=lambda name: self.sessions[name].order, default="")

    def forget_idle(self, idle_s: float) -> None:
        """The SDK ends a session that is idle for so long, and tells nobody."""
        oldest = time.monotonic() - idle_s
        for name in [name for name, each in self.sessions.items() if not each.busy and each.last < oldest]:
            del self.sessions[name]


@dataclass(frozen=True)
class Admission:
    """A request that is counted from now on, and the sessions that make room for the one it may open."""

    visitor: Visitor
    leaving: Mapping[str, Session]


class Crowd:
    """Counts the requests and sessions of each caller, by its token, else its address; too many are answered 429.

    Sessions are never too many for a newcomer: the one that was used longest ago makes room, of the same caller or,
    where all callers together have as many as there may be, of the one with the most.
    """

    def __init__(self, options: ServerSettings) -> None:
        self._options = options
        self._visitors: dict[str, Visitor] = {}

    @property
    def requests(self) -> int:
        return sum(visitor.requests for visitor in self._visitors.values())

    @property
    def sessions(self) -> int:
        return sum(len(visitor.sessions) for visitor in self._visitors.values())

    @property
    def callers(self) -> int:
        return len(self._visitors)

    def admit(self, caller: str, opens: bool) -> Admission | str:
        """The caller, whose request is counted from now on, or why there is no room for it."""
        visitor, options = self._visitors.get(caller) or Visitor(), self._options
        if visitor.requests >= options.caller_requests:
            return f"{visitor.requests} requests of yours are under way: wait for one (server.caller_requests)"
        leaving: dict[str, Session] = {}
        if opens:
            visitor.forget_idle(options.session_idle_s)
            if visitor.rooms >= options.caller_sessions and not self._make_room([visitor], leaving):
                return f"{visitor.rooms} sessions of yours are in use: end one by DELETE (server.caller_sessions)"
            if self._rooms >= options.sessions and not self._make_room(self._largest, leaving):
                return f"{self._rooms} sessions are in use, which are all there may be: come back (server.sessions)"
        self._visitors[caller] = visitor
        visitor.requests += 1
        visitor.opening += opens
        return Admission(visitor, leaving)

    @property
    def _rooms(self) -> int:
        return sum(visitor.rooms for visitor in self._visitors.values())

    @property
    def _largest(self) -> list[Visitor]:
        for visitor in self._visitors.values():
            visitor.forget_idle(self._options.session_idle_s)
        return sorted(self._visitors.values(), key=lambda visitor: visitor.rooms, reverse=True)

    @staticmethod
    def _make_room(visitors: Sequence[Visitor], leaving: dict[str, Session]) -> bool:
        """Whether a session of the first visitor that can do without one is to leave."""
        for visitor in visitors:
            if name := visitor.spare:
                leaving[name] = visitor.sessions.pop(name)
                return True
        return False

    def leave(self, caller: str, visitor: Visitor, opens: bool) -> None:
        visitor.requests -= 1
        visitor.opening -= opens
        if not visitor.requests:
            visitor.forget_idle(self._options.session_idle_s)
        if not (visitor.requests or visitor.sessions):
            self._visitors.pop(caller, None)


class Limits:
    """Lets no request pass that is one too many of its caller.

    Args:
        opening: the path where sessions are opened.
    """

    def __init__(self, app: ASGIApp, crowd: Crowd, opening: str = "/mcp") -> None:
        self._app = app
        self._crowd = crowd
        self._opening = opening

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers, caller = Headers(scope=scope), counted_for(scope)
        opens = scope["path"] == self._opening and _may_open(scope["method"], headers)
        admission = self._crowd.admit(caller, opens)
        if isinstance(admission, str):
            await too_many(admission)(scope, receive, send)
            return
        try:
            for name, session in admission.leaving.items():
                await self._end(name, session, scope)
            await Visit(admission.visitor, scope).run(self._app, scope, receive, send)
        finally:
            self._crowd.leave(caller, admission.visitor, opens)

    async def _end(self, name: str, session: Session, scope: Scope) -> None:
        """End a session as who has opened it would."""
        same = [(key, value) for key, value in scope["headers"] if key in (b"host", b"origin")]
        asked = {**scope, "method": "DELETE", "headers": [*same, (SESSION.encode(), name.encode())]}
        asked.pop("user", None)
        if session.user is not None:
            asked["user"] = session.user
        await self._app(asked, _nothing_more, _unheard)


def too_many(why: str) -> JSONResponse:
    """What a caller is told of a request that is one too many."""
    said = {"error": "too_many_requests", "error_description": why}
    return JSONResponse(said, 429, {"Retry-After": str(RETRY_S)})


async def _nothing_more() -> Message:
    return {"type": "http.request", "body": b""}


async def _unheard(_message: Message) -> None: ...


class Visit:
    """One request: what it makes of the sessions of its caller."""

    def __init__(self, visitor: Visitor, scope: Scope) -> None:
        session = Headers(scope=scope).get(SESSION, "")
        self._visitor = visitor
        self._user = scope.get("user")
        self._asks = scope["method"] != "GET"
        self._ends = session if scope["method"] == "DELETE" else ""
        self._known = visitor.sessions.get(session)

    async def run(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] < 400:
                self._note(Headers(raw=list(message["headers"])))
            await send(message)

        if self._known:
            self._known.busy += 1
            self._known.asking += self._asks
        try:
            await app(scope, receive, watched)
        finally:
            if self._known:
                self._known.busy -= 1
                self._known.asking -= self._asks
                self._known.last = time.monotonic()

    def _note(self, headers: Mapping[str, str]) -> None:
        if self._ends:
            self._visitor.sessions.pop(self._ends, None)
        elif (session := headers.get(SESSION)) and not self._known:
            self._visitor.sessions.setdefault(session, Session(self._user))


def _may_open(method: str, headers: Mapping[str, str]) -> bool:
    """Only the handshake era has sessions; a request without one may open it."""
    version = headers.get(VERSION)
    era = version is None or version in HANDSHAKE_PROTOCOL_VERSIONS
    return method == "POST" and SESSION not in headers and era
