"""What those are told who may not ask: where tokens come from, and which scope is wanted (RFC 6750, RFC 9728)."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from mcp.shared.auth import ProtectedResourceMetadata
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from ...config.settings import Settings
from ...tools.runtime.identity import ACCESSES, Access

# RFC 6749, 3.3: a role may be called otherwise, and is then no scope that a client could ask for.
SCOPE_TOKEN = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")
WELL_KNOWN = "/.well-known/oauth-protected-resource"


class Told:
    """Names this server as its callers know it, and scopes as its identity provider calls them.

    Args:
        resources: the paths whose description can be read, each a resource of its own (RFC 9728, 3.1).
    """

    def __init__(self, settings: Settings, resources: tuple[str, ...]) -> None:
        self._public = settings.server.public_url
        self._oidc = settings.oidc
        self._resources = resources

    def scope(self, access: Access) -> str:
        """What to ask the provider for."""
        if not self._oidc.issuer:
            return access
        from .issuer import scopes_of

        return next(filter(SCOPE_TOKEN.fullmatch, scopes_of(self._oidc, access)), access)

    def challenge(self, request: Request, error: str = "", access: Access = "read") -> str:
        """The value of WWW-Authenticate; who has shown no token at all is told of no error of his."""
        said = {"realm": "mlops-mcp", "error": error, "scope": self.scope(access)}
        if self._oidc.issuer:
            path = request.url.path
            said["resource_metadata"] = self._well_known(request, path if path in self._resources else "")
        return "Bearer " + ", ".join(f'{name}="{value}"' for name, value in said.items() if value)

    def describes(self, path: str) -> bool:
        return bool(self._oidc.issuer) and self._named(path) is not None

    def description(self, request: Request) -> Response:
        """The metadata of the resource that an address below `WELL_KNOWN` stands for."""
        # As texts: an address that was made before would have got a slash, and clients compare letters.
        described = ProtectedResourceMetadata.model_validate(
            {
                "resource": self._base(request) + (self._named(request.url.path) or ""),
                "authorization_servers": [self._oidc.issuer],
                "scopes_supported": [self.scope(access) for access in ACCESSES],
                "resource_name": "mlops-mcp",
            }
        )
        return JSONResponse(described.model_dump(mode="json", exclude_none=True))

    def _named(self, path: str) -> str | None:
        """The resource that the address of a description is of, which names the path of the server before it."""
        prefix = urlsplit(self._public).path
        of = path.removeprefix(WELL_KNOWN).removeprefix(prefix)
        return of if path.startswith(WELL_KNOWN) and of in ("", *self._resources) else None

    def _well_known(self, request: Request, resource: str) -> str:
        base = urlsplit(self._base(request))
        return f"{base.scheme}://{base.netloc}{WELL_KNOWN}{base.path}{resource}"

    def _base(self, request: Request) -> str:
        """Of the host that was asked for, which has been looked at, unless it is known how callers call it."""
        return self._public or f"{request.url.scheme}://{request.url.netloc}"


class Described:
    """Answers with the description of the server whoever asks: how to come by a token is what they want to know."""

    def __init__(self, app: ASGIApp, told: Told) -> None:
        self._app = app
        self._told = told

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = scope["type"] == "http" and scope["method"] in ("GET", "HEAD") and self._told.describes(scope["path"])
        await (self._told.description(Request(scope)) if asked else self._app)(scope, receive, send)
