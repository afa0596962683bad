"""Serve over stdio, Streamable HTTP or SSE."""

from __future__ import annotations

import os
import signal
import socket
from typing import Literal

import anyio
import anyio.to_thread

from ..config.load import SettingsError
from ..config.settings import ServerSettings, Settings
from .app import create_server
from .host import Host

Transport = Literal["stdio", "http", "sse"]
LOOPBACK = ("127.0.0.1:*", "localhost:*", "[::1]:*")


def serve(settings: Settings, transport: Transport) -> None:
    """Run until the client leaves (stdio) or the process is told to end."""
    server = create_server(settings)
    anyio.run(_serve_stdio if transport == "stdio" else _serve_http, server, settings, transport)


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
    import uvicorn
    from mcp.server.transport_security import TransportSecuritySettings

    options = settings.server
    security = TransportSecuritySettings(
        enable_dns_rebinding_protection=True,
        allowed_hosts=[*LOOPBACK, f"{options.host}:*", *options.allowed_hosts],
        allowed_origins=[f"http://{host}" for host in (*LOOPBACK, f"{options.host}:*")],
    )
    app = (
        server.streamable_http_app(transport_security=security)
        if transport == "http"
        else server.sse_app(transport_security=security)
    )
    config = uvicorn.Config(app, log_level=options.log_level.lower(), timeout_graceful_shutdown=3)
    with _listener(options) as listener:
        path = "/mcp" if transport == "http" else "/sse"
        os.write(
            2, f"mlops-mcp serves {transport} on http://{options.host}:{listener.getsockname()[1]}{path}\n".encode()
        )
        async with server.services.running():
            await uvicorn.Server(config).serve(sockets=[listener])


def _listener(options: ServerSettings) -> socket.socket:
    try:
        return socket.create_server((options.host, options.port))
    except OSError as error:
        raise SettingsError(
            f"cannot listen on {options.host}:{options.port}: {error.strerror}; choose another with --port"
        ) from error
