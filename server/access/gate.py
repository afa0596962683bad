"""Who may ask at all: every request to every path names its token, except where there are none."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from ipaddress import ip_address

import anyio
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from ...config.errors import SettingsError
from ...config.settings import OWN_HOSTS, ServerSettings, is_own
from ...tools.runtime.identity import Identity
from .callers import Callers
from .tokens import PREFIX
from .told import Told

IDENTITY = "mlops_mcp_identity"
SCHEME = "bearer "
LOOK_AGAIN_S = 1.0
# Tokens of a provider last for minutes: a call that was begun with one is answered, a stream ends so long after it.
ANSWERED_S = 120.0


class Gate:
    """Lets in who bears a token; without one the answer is 401, whatever the path (RFC 6750).

    The user of the ASGI scope is what the SDK binds its sessions to, so that none is used with another's token.
    """

    def __init__(self, app: ASGIApp, callers: Callers, told: Told) -> None:
        self._app = app
        self._callers = callers
        self._told = told

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not self._callers.required:
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        presented = _presented(request.headers.getlist("authorization"))
        verdict = await self._callers.verdict(presented) if presented is not None else None
        if not isinstance(verdict, Identity):
            await self._refusal(request, verdict)(scope, receive, send)
            return
        scope["user"] = AuthenticatedUser(AccessToken(token="", client_id=verdict.name, scopes=[verdict.access]))
        scope[IDENTITY] = verdict
        with self._until_revoked(presented or ""):
            await self._app(scope, receive, send)

    @contextmanager
    def _until_revoked(self, presented: str) -> Generator[None]:
        """What lasts, such as a stream that is listened to, ends with its token."""
        with anyio.CancelScope() as going:
            watching = asyncio.create_task(self._watch(presented, going))
            try:
                yield
            finally:
                watching.cancel()

    async def _watch(self, presented: str, going: anyio.CancelScope) -> None:
        while await self._taken(presented):
            await asyncio.sleep(LOOK_AGAIN_S)
            if not (presented.startswith(PREFIX) or await self._taken(presented)):
                await asyncio.sleep(ANSWERED_S)
        going.cancel()

    async def _taken(self, presented: str) -> bool:
        return isinstance(await self._callers.verdict(presented), Identity)

    def _refusal(self, request: Request, verdict: str | None) -> Response:
        said = {
            "error": verdict or "unauthorized",
            "error_description": "send Authorization: Bearer TOKEN: `mlops-mcp token new` makes one on that machine",
        }
        challenge = {"WWW-Authenticate": self._told.challenge(request, verdict or "")}
        return JSONResponse(said, 403 if verdict == "insufficient_scope" else 401, challenge)


def _presented(given: Sequence[str]) -> str | None:
    """The token that a request bears, if it bears one."""
    bears = len(given) == 1 and given[0].lower().startswith(SCHEME)
    return given[0][len(SCHEME) :].strip() if bears else None


def identity_of(request: Request | None) -> Identity:
    """Whose request it is. Over stdio, and where there are no tokens, it is the one owner's."""
    found = request.scope.get(IDENTITY) if request is not None else None
    return found if isinstance(found, Identity) else Identity()


def counted_for(scope: Scope) -> str:
    """Whom a request counts for: its token, else its address; by its kind as well, since a token may be named so."""
    if name := identity_of(Request(scope)).name:
        return counted_as(name)
    return f"address {scope['client'][0]}" if scope.get("client") else "address"


def counted_as(name: str) -> str:
    """Whom the requests with a token count for."""
    return f"token {name}"


def require_lock(options: ServerSettings, callers: Callers) -> None:
    """Refuse to let everybody in who reaches this machine.

    Raises:
        SettingsError: others than this machine can come in, be it through a proxy, and there is no token.
    """
    if options.insecure or callers.locked or not _open(options):
        return
    where = options.public_url or next(_elsewhere(options), options.host)
    raise SettingsError(
        f"{where} can be reached from elsewhere, and there is no token: make one with "
        "`mlops-mcp token new --scope write --name NAME`, or let everybody in with --insecure"
    )


def _open(options: ServerSettings) -> bool:
    public = bool(options.public_url) and not is_own(options.public_url)
    return public or any(_elsewhere(options)) or bool(options.behind_proxy) or not is_loopback(options.host)


def _elsewhere(options: ServerSettings) -> Iterator[str]:
    """The names that are answered to and are none of this machine's own: whatever stands before it gives it those."""
    for host in options.allowed_hosts:
        with suppress(ValueError):  # brackets around no address
            if is_own(f"//{host}"):
                continue
        yield host


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address; a name is only taken for that if it is a usual one."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() in OWN_HOSTS
