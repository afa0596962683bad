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
from .gate import guest_of

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
class Guest:
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

    guest: Guest
    leaving: Mapping[str, Session]


class Crowd:
    """Counts the requests and sessions of each caller, by its token, else its address; too many are answered 429.

    Sessions are never too many for a newcomer: the one that was used longest ago makes room, of the same caller or,
    where all callers together have as many as there may be, of the one with the most.
    """

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

    def admit(self, caller: str, opens: bool) -> Admission | str:
        """The caller, whose request is counted from now on, or why there is no room for it."""
        guest, options = self._guests.get(caller) or Guest(), self._options
        if guest.requests >= options.caller_requests:
            return f"{guest.requests} requests of yours are under way: wait for one (server.caller_requests)"
        leaving: dict[str, Session] = {}
        if opens:
            guest.forget_idle(options.session_idle_s)
            if guest.rooms >= options.caller_sessions and not self._make_room([guest], leaving):
                return f"{guest.rooms} sessions of yours are in use: end one by DELETE (server.caller_sessions)"
            if self._rooms >= options.sessions and not self._make_room(self._largest, leaving):
                return f"{self._rooms} sessions are in use, which are all there may be: come back (server.sessions)"
        self._guests[caller] = guest
        guest.requests += 1
        guest.opening += opens
        return Admission(guest, leaving)

    @property
    def _rooms(self) -> int:
        return sum(guest.rooms for guest in self._guests.values())

    @property
    def _largest(self) -> list[Guest]:
        for guest in self._guests.values():
            guest.forget_idle(self._options.session_idle_s)
        return sorted(self._guests.values(), key=lambda guest: guest.rooms, reverse=True)

    @staticmethod
    def _make_room(guests: Sequence[Guest], leaving: dict[str, Session]) -> bool:
        """Whether a session of the first guest that can do without one is to leave."""
        for guest in guests:
            if name := guest.spare:
                leaving[name] = guest.sessions.pop(name)
                return True
        return False

    def leave(self, caller: str, guest: Guest, opens: bool) -> None:
        guest.requests -= 1
        guest.opening -= opens
        if not guest.requests:
            guest.forget_idle(self._options.session_idle_s)
        if not (guest.requests or guest.sessions):
            self._guests.pop(caller, None)


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
        headers, caller = Headers(scope=scope), guest_of(scope)
        opens = scope["path"] == self._opening and _may_open(scope["method"], headers)
        admission = self._crowd.admit(caller, opens)
        if isinstance(admission, str):
            said = {"error": "too_many_requests", "error_description": admission}
            await JSONResponse(said, 429, {"Retry-After": str(RETRY_S)})(scope, receive, send)
            return
        try:
            for name, session in admission.leaving.items():
                await self._end(name, session, scope)
            await Visit(admission.guest, scope).run(self._app, scope, receive, send)
        finally:
            self._crowd.leave(caller, admission.guest, opens)

    async def _end(self, name: str, session: Session, scope: Scope) -> None:
        """End a session as who has opened it would."""
        same = [(key, value) for key, value in scope["headers"] if key in (b"host", b"origin")]
        asked = {**scope, "method": "DELETE", "headers": [*same, (SESSION.encode(), name.encode())]}
        asked.pop("user", None)
        if session.user is not None:
            asked["user"] = session.user
        await self._app(asked, _nothing_more, _unheard)


async def _nothing_more() -> Message:
    return {"type": "http.request", "body": b""}


async def _unheard(_message: Message) -> None: ...


class Visit:
    """One request: what it makes of the sessions of its caller."""

    def __init__(self, guest: Guest, scope: Scope) -> None:
        session = Headers(scope=scope).get(SESSION, "")
        self._guest = guest
        self._user = scope.get("user")
        self._asks = scope["method"] != "GET"
        self._ends = session if scope["method"] == "DELETE" else ""
        self._known = guest.sessions.get(session)

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
            self._guest.sessions.pop(self._ends, None)
        elif (session := headers.get(SESSION)) and not self._known:
            self._guest.sessions.setdefault(session, Session(self._user))


def _may_open(method: str, headers: Mapping[str, str]) -> bool:
    """Only the handshake era has sessions; a request without one may open it."""
    version = headers.get(VERSION)
    era = version is None or version in HANDSHAKE_PROTOCOL_VERSIONS
    return method == "POST" and SESSION not in headers and era
