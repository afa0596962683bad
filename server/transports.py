"""Serve over stdio, Streamable HTTP or SSE."""

from __future__ import annotations

import math
import os
import signal
import socket
import ssl
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import anyio
import anyio.to_thread

from ..config.errors import SettingsError
from ..config.settings import ServerSettings, Settings
from ..tools.errors import ToolFailure
from ..tools.replica.steps import fetch
from ..tools.spec import Toolset
from ..tools.storage.state_files import own_folder
from .app import create_server
from .host import Host

if TYPE_CHECKING:
    import uvicorn
    from starlette.types import ASGIApp

    from .access.callers import Callers
    from .ending import Ending, WebServer

Transport = Literal["stdio", "http", "sse"]


# Beyond the time-outs of clients: one that gives up and asks again at once would find its connection just closed.
KEEP_ALIVE_S = 75


def serve(settings: Settings, transport: Transport, *more: Toolset) -> None:
    """Run until the client leaves (stdio) or the process is told to end.

    Args:
        more: toolsets to serve beside those of this package.

    Raises:
        SettingsError: the state folder cannot be written, or the address cannot be listened on.
    """
    require_home(settings.home)
    require_shared(settings)
    run(create_server(settings, *more), settings, transport)


def run(server: Host, settings: Settings, transport: Transport) -> None:
    """Run a server that was built already, as `serve` does."""
    anyio.run(_serve_stdio if transport == "stdio" else _serve_http, server, settings, transport)


def require_home(home: Path) -> None:
    """Make sure that state can be kept, and is ours alone, before anything is promised.

    Raises:
        SettingsError: the folder cannot be made or written, or belongs to somebody else.
    """
    try:
        own_folder(home)
        with tempfile.TemporaryFile(dir=home):
            return
    except OSError as error:
        raise SettingsError(
            f"the state folder {home} cannot be used: {error.strerror}; set MLOPS_HOME to a folder of your own"
        ) from error


def require_shared(settings: Settings) -> None:
    """Have what other servers have made, their tokens among it, before anybody is let in.

    Raises:
        SettingsError: what they share does not answer.
    """
    try:
        fetch(settings)
    except ToolFailure as failure:
        raise SettingsError(str(failure)) from failure


async def _serve_stdio(server: Host, _settings: Settings, _transport: Transport) -> None:
    async with server.services.running(), anyio.create_task_group() as group:
        group.start_soon(_end_on_signal, server)
        await server.run_stdio_async()
        group.cancel_scope.cancel()


async def _end_on_signal(server: Host) -> None:
    """End in order on SIGTERM and SIGINT, which the SDK leaves to the default: no clean-up, or a hang."""
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for number in signals:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(server.services.close)
            # The SDK's reader thread sits in a read of stdin that nothing can interrupt.
            os._exit(128 + number)


async def _serve_http(server: Host, settings: Settings, transport: Transport) -> None:
    from .access.callers import Callers
    from .access.gate import require_lock
    from .ending import Ending, end_on_signal

    ending, callers = Ending(), Callers(settings)
    require_lock(settings.server, callers)
    require_certificate(settings.server)
    web = _web_server(server, settings, callers, transport, ending)
    with listening(settings.server) as listener:
        _announce(settings.server, listener.getsockname()[1], transport)
        async with server.services.running(), anyio.create_task_group() as group:
            group.start_soon(end_on_signal, server, web, ending, settings.server.drain_s)
            await web.serve(sockets=[listener])
            group.cancel_scope.cancel()


def _web_server(server: Host, settings: Settings, callers: Callers, transport: Transport, ending: Ending) -> WebServer:
    from .ending import WebServer
    from .web import web_app

    return WebServer(web_config(web_app(server, settings, callers, transport == "http", ending), settings.server))


def web_config(app: ASGIApp, options: ServerSettings) -> uvicorn.Config:
    """How an application is served."""
    import uvicorn

    from .ending import GRACE_S
    from .patience import patient

    # Without a configuration of its own uvicorn logs through our handler, which takes secrets out of addresses.
    # Its faster parser leaves the blanks around a header's value, which the protocol says do not count.
    return uvicorn.Config(
        app,
        http=patient(options.request_s),
        log_config=None,
        log_level=options.log_level.lower(),
        timeout_graceful_shutdown=math.ceil(GRACE_S) + 2,
        timeout_keep_alive=KEEP_ALIVE_S,
        # Unless told, uvicorn believes whatever this machine's own processes say of where a request comes from.
        proxy_headers=bool(options.behind_proxy),
        forwarded_allow_ips=list(options.behind_proxy),
        ssl_certfile=options.tls_cert or None,
        ssl_keyfile=options.tls_key or None,
    )


def require_certificate(options: ServerSettings) -> None:
    """Look at the certificate before anything is promised; a key that wants a password would be asked for it.

    Raises:
        SettingsError: it cannot be used with its key.
    """
    if not options.tls_cert:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(options.tls_cert, options.tls_key, password="")
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise SettingsError(
            f"{options.tls_cert} with {options.tls_key} cannot be used for https: {error}; "
            "give the PEM files of a certificate and of its key, without a password (--tls-cert, --tls-key)"
        ) from error


def _announce(options: ServerSettings, port: int, transport: Transport) -> None:
    from .web import HTTP_PATH, SSE_PATH

    address = f"{options.scheme}://{options.host}:{port}"
    where = f"{address}{HTTP_PATH} and sse on {address}{SSE_PATH}" if transport == "http" else f"{address}{SSE_PATH}"
    os.write(2, f"mlops-mcp serves {transport} on {where}\n".encode())


def listening(options: ServerSettings) -> socket.socket:
    """Where clients come in; the connections that it takes inherit that they send at once.

    asyncio sees to that only where a socket names TCP, and a head that is sent before its body would wait 40 ms for a
    client that acknowledges late (https://www.rfc-editor.org/rfc/rfc1122#page-96).
    """
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    try:
        listener = socket.create_server((options.host, options.port), family=family)
    except OSError as error:
        raise SettingsError(
            f"cannot listen on {options.host}:{options.port}: {error.strerror}; choose another with --host or --port"
        ) from error
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener
