"""The socket on which clients come in."""

from __future__ import annotations

import asyncio
import socket

from mlops_mcp.config.load import load
from mlops_mcp.server.transports import listening


async def test_what_is_said_on_a_connection_is_sent_at_once() -> None:
    """Held back until the client acknowledges what came before, every answer would take 40 ms more."""
    options = load({}, {"server.port": 0}).settings.server
    delays = asyncio.get_running_loop().create_future()

    def taken(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection: socket.socket = writer.get_extra_info("socket")
        delays.set_result(not connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    with listening(options) as listener:
        async with await asyncio.start_server(taken, sock=listener):
            _, writer = await asyncio.open_connection(*listener.getsockname()[:2])
            assert not await delays
            writer.close()
