"""`mlops-mcp ui`: serve the pages on this machine alone until it is interrupted."""

from __future__ import annotations

from contextlib import suppress

import uvicorn
from anyio.to_thread import run_sync

from ...config.settings import Settings
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
    import anyio

    with suppress(KeyboardInterrupt):
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
            access_log=False, server_header=False, lifespan="off",
        )  # fmt: skip
        print(f"http://{HOST}:{found}/#token={keys.token}", flush=True)
        try:
            await uvicorn.Server(config).serve(sockets=[listener])
        finally:
            await run_sync(sources.calls.close)
