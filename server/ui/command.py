"""`mlops-mcp ui`: serve the pages on this machine alone until it is interrupted."""

from __future__ import annotations

import signal

import anyio
import uvicorn
from anyio.to_thread import run_sync

from ...config.settings import Settings
from ..ending import WebServer
from ..patience import patient
from ..transports import listening
from .app import site
from .asking import Sources
from .guard import Keys

HOST = "127.0.0.1"


def serve(settings: Settings, port: int) -> int:
    """Print the address with its token and answer until it is interrupted. Raises SettingsError if the port is taken.

    Args:
        port: 0 for any that is free.
    """
    anyio.run(_serve, settings, port)
    return 0


async def _serve(settings: Settings, port: int) -> None:
    options = settings.server.model_copy(update={"host": HOST, "port": port})
    with listening(options) as listener:
        found = int(listener.getsockname()[1])
        keys, sources = Keys.fresh(found), Sources.of(settings)
        # No log of requests: what callers name things stands in addresses.
        config = uvicorn.Config(
            site(sources, keys, found), http=patient(options.request_s), log_config=None, log_level="warning",
            access_log=False, ws="none", server_header=False, lifespan="off",
        )  # fmt: skip
        print(f"http://{HOST}:{found}/#token={keys.token}", flush=True)
        web = WebServer(config)
        async with anyio.create_task_group() as group:
            group.start_soon(_end_on_signal, web)
            await web.serve(sockets=[listener])
            group.cancel_scope.cancel()
        await run_sync(sources.calls.close)


async def _end_on_signal(web: WebServer) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for _ in signals:
            web.should_exit = True
