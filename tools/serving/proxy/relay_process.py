"""The process that passes calls on: `python -m mlops_mcp.tools.serving.proxy.relay_process HOME SOCKET`.

It listens on a socket that its keeper has opened and holds as well, so that while one of them is started again callers
wait instead of being refused.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path

from aiohttp import web

from ...runtime.jobs import alive
from ...storage.state_files import keep_files_private
from .haproxy import Silent, put_before
from .kept import take
from .orders import Orders
from .places import Places
from .relay import Relay
from .start import KEEPER, behind_haproxy, hand_on

LOOK_EVERY_S = 0.5
# Clients keep a connection for a minute and more.
CLIENT_KEPT_S = 120.0
GRACE_S = 30.0


def main(home: str, descriptor: str) -> None:
    places = Places(Path(home))
    if take(places.relay) is None:
        return
    keep_files_private()
    os.chdir(places.folder)
    with socket.socket(fileno=int(descriptor)) as listening:
        asyncio.run(_serve(places, listening))


async def _serve(places: Places, listening: socket.socket) -> None:
    listening.setblocking(False)
    loop, ending = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ending.set)
    orders = Orders(places.endpoints, places.token())
    relay = Relay(orders)
    server = web.Server(relay, access_log=None, keepalive_timeout=CLIENT_KEPT_S)
    listeners = await _listen(places, orders, server, listening)
    try:
        await _look(places, orders, listening, ending)
    finally:
        for each in listeners:
            each.close()
        server.pre_shutdown()  # idle connections; the others after their answers
        await server.shutdown(GRACE_S)
        await relay.close()


async def _listen(
    places: Places, orders: Orders, server: web.Server, listening: socket.socket
) -> list[asyncio.AbstractServer]:
    """Behind HAProxy, or where callers come themselves."""
    loop, listeners = asyncio.get_running_loop(), list[asyncio.AbstractServer]()
    if behind_haproxy(os.environ):
        try:
            listeners.append(await put_before(places.folder, orders, server, listening))
        except Silent:
            print("HAProxy does not start; calls are passed on without it", file=sys.stderr, flush=True)
    if orders.front is None:
        listeners.append(await loop.create_server(server, sock=listening))
    return listeners


async def _look(places: Places, orders: Orders, listening: socket.socket, ending: asyncio.Event) -> None:
    """Read what was changed by somebody who could not say so any more, and start what is gone again."""
    while not ending.is_set():
        try:
            await asyncio.wait_for(ending.wait(), LOOK_EVERY_S)
        except TimeoutError:
            orders.look()
            if orders.front:
                with suppress(Silent):
                    await orders.front.look()
            if not alive.held(places.keeper):
                hand_on(KEEPER, places, listening)


if __name__ == "__main__":
    main(*sys.argv[1:])
