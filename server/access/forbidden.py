"""Who has come in and asks for what his scope does not reach: 403, before the protocol is asked (RFC 6750, 3.1)."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from mcp.server.transport_security import DEFAULT_MAX_REQUEST_BODY_SIZE
from mcp.types import INVALID_REQUEST
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ...tools.errors import ToolFailure
from ...tools.runtime.identity import acting_as
from .crowd import too_many
from .gate import counted_for, identity_of
from .scopes import Wanted
from .told import Told

Needed = Callable[[str, Mapping[str, Any]], Wanted | None]


class Forbidden:
    """Looks at what a request to the one path asks for; over SSE, where no client reads a status, a tool refuses.

    Args:
        path: of Streamable HTTP.
        needed: what a method with its parameters asks for.
        denied: is told of what was refused, which is written down.
        admit: counts that for a caller, as a call; raises ToolFailure for one too many.
    """

    def __init__(
        self,
        app: ASGIApp,
        path: str,
        needed: Needed,
        denied: Callable[[Wanted], Awaitable[None]],
        admit: Callable[[str], None],
        told: Told,
    ) -> None:
        self._app = app
        self._path = path
        self._needed = needed
        self._denied = denied
        self._admit = admit
        self._told = told

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        looks = scope["type"] == "http" and (scope["method"], scope["path"]) == ("POST", self._path)
        if not looks or (identity := identity_of(Request(scope))).access == "admin":
            await self._app(scope, receive, send)
            return
        body = Body(receive)
        asked = await body.asked()
        wanted = self._needed(str(asked.get("method")), _mapping(asked.get("params")))
        if wanted is None or identity.allows(wanted.access):
            await self._app(scope, body.again, send)
            return
        try:
            self._admit(counted_for(scope))
        except ToolFailure as failure:
            await too_many(str(failure))(scope, receive, send)
            return
        with acting_as(identity):
            await self._denied(wanted)
        await self._refusal(Request(scope), asked, wanted)(scope, receive, send)

    def _refusal(self, request: Request, asked: Mapping[str, Any], wanted: Wanted) -> Response:
        """Its body is an error of the protocol, which clients show."""
        said = str(wanted.failure(identity_of(request)))
        error = {"code": INVALID_REQUEST, "message": said, "data": {"error": "insufficient_scope"}}
        number = asked.get("id")
        told = {"jsonrpc": "2.0", "id": number if isinstance(number, int | str) else None, "error": error}
        challenge = self._told.challenge(request, "insufficient_scope", wanted.access)
        return JSONResponse(told, 403, {"WWW-Authenticate": challenge})


class Body:
    """What a client sends, read once and given on as it came."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._read: list[Message] = []

    async def asked(self) -> Mapping[str, Any]:
        """The message; empty where it is none, or more than the protocol takes, which is what that says of it."""
        text, more = bytearray(), True
        while more and len(text) <= DEFAULT_MAX_REQUEST_BODY_SIZE:
            message = await self._receive()
            self._read.append(message)
            text += message.get("body", b"")
            more = message["type"] == "http.request" and message.get("more_body", False)
        try:
            return _mapping(json.loads(text))
        except (ValueError, RecursionError):
            return {}

    async def again(self) -> Message:
        return self._read.pop(0) if self._read else await self._receive()


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
