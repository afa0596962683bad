"""Who may ask at all: every request to every path names its token, except where there are none."""

from __future__ import annotations

from ipaddress import ip_address

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from ...config.errors import SettingsError
from ...config.settings import ServerSettings
from ...tools.runtime.identity import Identity
from .tokens import Tokens

IDENTITY = "mlops_mcp_identity"
SCHEME = "bearer "


class Gate:
    """Lets in who bears a token; without one the answer is 401, whatever the path (RFC 6750).

    The user of the ASGI scope is what the SDK binds its sessions to, so that none is used with another's token.
    """

    def __init__(self, app: ASGIApp, tokens: Tokens) -> None:
        self._app = app
        self._tokens = tokens

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not self._tokens.required:
            await self._app(scope, receive, send)
            return
        given = Request(scope).headers.getlist("authorization")
        if len(given) != 1 or not given[0].lower().startswith(SCHEME):
            await _refused("")(scope, receive, send)
            return
        identity = self._tokens.identity(given[0][len(SCHEME) :].strip())
        if identity is None:
            await _refused("invalid_token")(scope, receive, send)
            return
        scope["user"] = AuthenticatedUser(AccessToken(token="", client_id=identity.name, scopes=[identity.access]))
        scope[IDENTITY] = identity
        await self._app(scope, receive, send)


def identity_of(request: Request | None) -> Identity:
    """Whose request it is. Over stdio, and where there are no tokens, it is the one owner's."""
    found = request.scope.get(IDENTITY) if request is not None else None
    return found if isinstance(found, Identity) else Identity()


def guest_of(scope: Scope) -> str:
    """Whom a request counts for: its token, else its address; by its kind as well, since a token may be named so."""
    if name := identity_of(Request(scope)).name:
        return f"token {name}"
    return f"address {scope['client'][0]}" if scope.get("client") else "address"


def require_lock(options: ServerSettings, tokens: Tokens) -> None:
    """Refuse to let everybody in who reaches this machine.

    Raises:
        SettingsError: the address is not this machine's own, and there is no token.
    """
    if options.insecure or is_loopback(options.host) or tokens.all:
        return
    raise SettingsError(
        f"{options.host} can be reached from elsewhere, and there is no token: make one with "
        "`mlops-mcp token new --scope write --name NAME`, or let everybody in with --insecure"
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address; a name is only taken for that if it is the usual one."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _refused(error: str) -> Response:
    """RFC 6750: who has shown no token at all is told of no error of his."""
    challenge = 'Bearer realm="mlops-mcp"' + (f', error="{error}"' if error else "")
    said = {
        "error": error or "unauthorized",
        "error_description": "send Authorization: Bearer TOKEN: `mlops-mcp token new` makes one on that machine",
    }
    return JSONResponse(said, 401, {"WWW-Authenticate": challenge})
