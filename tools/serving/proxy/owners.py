"""Whose a port is: once its service is dead, another user may have it, who shall see neither rows nor the token."""

from __future__ import annotations

import errno
import os
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

# proc(5): local address, state and user of each socket. Elsewhere nobody tells, and it is believed.
TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
ADDRESS, STATE, USER = 1, 3, 7
LISTENING = "0A"
# Many connections are opened at once; to read the table for each would take longer than they do.
HOLDS_S = 0.25


def _word(*octets: int) -> str:
    return f"{int.from_bytes(bytes(octets), sys.byteorder):08X}"


# The one that a call to 127.0.0.1 goes to comes first.
ADDRESSES = (
    _word(127, 0, 0, 1),
    "0" * 16 + _word(0, 0, 255, 255) + _word(127, 0, 0, 1),
    "0" * 8,
    "0" * 32,
)


def is_ours(port: int) -> bool:
    """Whether who listens there is our own user; also if nobody does."""
    owners: dict[str, str] = {}
    for table in TABLES:
        with suppress(OSError):
            for row in table.read_text(encoding="ascii").splitlines()[1:]:
                fields = row.split()
                address, _, number = fields[ADDRESS].partition(":")
                if fields[STATE] == LISTENING and int(number, 16) == port:
                    owners[address] = fields[USER]
    found = next((owners[each] for each in ADDRESSES if each in owners), None)
    return found in (None, str(os.geteuid()))


class OwnSockets:
    """Makes the sockets of aiohttp's `TCPConnector`."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[float, bool]] = {}

    def __call__(self, address: tuple[int, int, int, str, tuple[Any, ...]]) -> socket.socket:
        """Raises ConnectionRefusedError where a stranger would answer."""
        family, kind, protocol, _, (_, port, *_) = address
        if not self._ours(port):
            raise ConnectionRefusedError(errno.ECONNREFUSED, f"another user has port {port}")
        return socket.socket(family, kind, protocol)

    def _ours(self, port: int) -> bool:
        now = time.monotonic()
        at, ours = self._known.get(port, (0.0, False))
        if not at or now - at > HOLDS_S:
            ours = is_ours(port)
            self._known[port] = now, ours
        return ours
