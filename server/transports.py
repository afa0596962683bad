"""Serve over stdio, Streamable HTTP or SSE."""

from __future__ import annotations

import os
import signal
import socket
import tempfile
from pathlib import Path
from typing import Literal

import anyio
import anyio.to_thread

from ..config.errors import SettingsError
from ..config.settings import ServerSettings, Settings
from ..tools.spec import Toolset
from ..tools.storage.state_files import private_folder
from .app import create_server
from .host import Host

Transport = Literal["stdio", "http", "sse"]
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


def serve(settings: Settings, transport: Transport, *more: Toolset) -> None:
    """Run until the client leaves (stdio) or the process is told to end.

    Args:
        more: toolsets to serve beside those of this package.

    Raises:
        SettingsError: the state folder cannot be written, or the address cannot be listened on.
    """
    require_home(settings.home)
    server = create_server(settings, *more)
    anyio.run(_serve_stdio if transport == "stdio" else _serve_http, server, settings, transport)


def require_home(home: Path) -> None:
    """Make sure that state can be kept before anything is promised.

    Raises:
        SettingsError: the folder cannot be made or written.
    """
    try:
        private_folder(home)
        with tempfile.TemporaryFile(dir=home):
            return
    except OSError as error:
        raise SettingsError(f"the state folder {home} cannot be used: {error.strerror}; set MLOPS_HOME") from error


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
    hosts = allowed_hosts(options)
    security = TransportSecuritySettings(
        enable_dns_rebinding_protection=True,
        allowed_hosts=hosts,
        allowed_origins=[f"{scheme}://{host}" for scheme in ("http", "https") for host in hosts],
    )
    app = (
        server.streamable_http_app(transport_security=security)
        if transport == "http"
        else server.sse_app(transport_security=security)
    )
    # Without a configuration of its own uvicorn logs through our handler, which takes secrets out of addresses.
    config = uvicorn.Config(app, log_config=None, log_level=options.log_level.lower(), timeout_graceful_shutdown=3)
    with _listener(options) as listener:
        path = "/mcp" if transport == "http" else "/sse"
        os.write(
            2, f"mlops-mcp serves {transport} on http://{options.host}:{listener.getsockname()[1]}{path}\n".encode()
        )
        async with server.services.running():
            await uvicorn.Server(config).serve(sockets=[listener])


def allowed_hosts(options: ServerSettings) -> list[str]:
    """Host headers that are answered: this machine's names, the address served, and what was configured."""
    bare = [*LOOPBACK, _bracketed(options.host), *(host.removesuffix(":*") for host in options.allowed_hosts)]
    return [form for host in dict.fromkeys(bare) for form in ((host,) if _has_port(host) else (host, f"{host}:*"))]


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _has_port(host: str) -> bool:
    return host.rpartition("]")[2].count(":") == 1 or (not host.startswith("[") and ":" in host)


def _listener(options: ServerSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    try:
        return socket.create_server((options.host, options.port), family=family)
    except OSError as error:
        raise SettingsError(
            f"cannot listen on {options.host}:{options.port}: {error.strerror}; choose another with --host or --port"
        ) from error
