"""The web application of both HTTP transports: who may ask is looked at before any of them sees a request."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

import anyio
from mcp.server import Server
from mcp.server.sse import SseServerTransport
from mcp.server.transport_security import TransportSecurityMiddleware, TransportSecuritySettings
from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from ..config.settings import OWN_HOSTS, ServerSettings, Settings
from .access.callers import Callers
from .access.crowd import Crowd, Limits
from .access.forbidden import Forbidden
from .access.gate import Gate
from .access.told import Described, Told
from .ending import Ending, EndsInOrder
from .eras import EitherEra
from .host import Host
from .operations import Alive, Operations

HTTP_PATH, SSE_PATH, MESSAGES_PATH = "/mcp", "/sse", "/messages/"
# Any header may be sent by a page that may ask at all; these ones it may read.
EXPOSED = ("Mcp-Session-Id", "MCP-Protocol-Version", "WWW-Authenticate")
METHODS: tuple[str, ...] = ("GET", "POST", "DELETE")
# The crowd makes room for new sessions; the SDK, which turns them away, is not to come first.
SPARE = 2


def web_app(server: Host, settings: Settings, callers: Callers, streamable: bool, ending: Ending) -> Starlette:
    """The application: SSE, and Streamable HTTP beside it if that is wanted.

    Args:
        ending: begins when the server is told to end.
    """
    options = settings.server
    security, crowd = security_of(options), Crowd(options)
    told = Told(settings, (HTTP_PATH, SSE_PATH) if streamable else (SSE_PATH,))
    app = _streamable(server, options, security) if streamable else Starlette()
    app.router.routes.extend(
        [*Sse(server.protocol, security).routes, *Operations(server.services, crowd, ending).routes]
    )
    denied, admit = server.services.audit.denied, server.services.rates.admit
    app.add_middleware(Forbidden, path=HTTP_PATH, needed=server.wanted, denied=denied, admit=admit, told=told)
    app.add_middleware(Limits, crowd=crowd, opening=HTTP_PATH)
    app.add_middleware(Gate, callers=callers, told=told)
    app.add_middleware(Described, told=told)
    app.add_middleware(
        CORSMiddleware,
        allow_origin_regex=origins_of(security),
        allow_methods=METHODS,
        allow_headers=["*"],
        expose_headers=EXPOSED,
    )
    app.add_middleware(HostCheck, security=security)
    app.add_middleware(Alive, ending=ending)
    app.add_middleware(EndsInOrder, ending=ending)  # the outermost, since it was added last
    return app


def _streamable(server: Host, options: ServerSettings, security: TransportSecuritySettings) -> Starlette:
    app = server.streamable_http_app(
        transport_security=security,
        session_idle_timeout=options.session_idle_s,
        max_sessions=SPARE * options.sessions,
    )
    for route in app.router.routes:
        if isinstance(route, Route) and route.path == HTTP_PATH:
            route.methods = set(METHODS)  # the SDK would open a session before it looks at the method
    return app


class HostCheck:
    """Checks the Host and the Origin of every request, whatever its path, and opens nothing for OPTIONS."""

    def __init__(self, app: ASGIApp, security: TransportSecuritySettings) -> None:
        self._app = app
        self._security = TransportSecurityMiddleware(security)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = await self._refusal(Request(scope)) if scope["type"] == "http" else None
        await (answer or self._app)(scope, receive, send)

    async def _refusal(self, request: Request) -> Response | None:
        if refused := await self._security.validate_request(request):
            return refused
        if request.method == "OPTIONS" and "access-control-request-method" not in request.headers:
            return Response(status_code=204, headers={"Allow": ", ".join((*METHODS, "OPTIONS"))})
        return None


class Sse:
    """The older transport: a stream to listen to, and a path to send messages to."""

    def __init__(self, server: Server[Any], security: TransportSecuritySettings) -> None:
        self._server = server
        self._transport = SseServerTransport(MESSAGES_PATH, security_settings=security)

    @property
    def routes(self) -> list[Route | Mount]:
        posted = self._transport.handle_post_message
        return [Route(SSE_PATH, endpoint=self, methods=["GET"]), Mount(MESSAGES_PATH, app=posted)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        connected = self._transport.connect_sse(scope, receive, send)
        async with connected as (received, replies), replies, anyio.create_task_group() as eras:
            either = EitherEra(self._server, replies, eras)
            async for item in received:
                await either.take(item)
            either.close()


def security_of(options: ServerSettings) -> TransportSecuritySettings:
    hosts = allowed_hosts(options)
    return TransportSecuritySettings(
        enable_dns_rebinding_protection=True,
        allowed_hosts=hosts,
        allowed_origins=[
            *(f"{scheme}://{host}" for scheme in ("http", "https") for host in hosts),
            *options.cors_origins,
        ],
    )


def origins_of(security: TransportSecuritySettings) -> str:
    """The allowed origins as a regular expression: what the Origin check lets pass may also read the answer."""
    return "|".join(
        re.escape(origin.removesuffix(":*")) + (r":\d+" if origin.endswith(":*") else "")
        for origin in security.allowed_origins
    )


def allowed_hosts(options: ServerSettings) -> list[str]:
    """Host headers that are answered: this machine's names, the addresses served, and what was configured."""
    public = [host for host in (urlsplit(options.public_url).netloc,) if host]
    given = (*public, *(host.removesuffix(":*") for host in options.allowed_hosts))
    bare = [*map(_bracketed, (*OWN_HOSTS, options.host)), *given]
    return [form for host in dict.fromkeys(bare) for form in ((host,) if _has_port(host) else (host, f"{host}:*"))]


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _has_port(host: str) -> bool:
    return host.rpartition("]")[2].count(":") == 1 or (not host.startswith("[") and ":" in host)
