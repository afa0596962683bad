"""Who may ask the template for a process: those who know the key of its server.

Python's fork server forks for whoever connects to its socket, and what is forked is confined by nothing. A process
that is held finds the socket (/proc/net/unix has all of them), and nothing but a word of its own keeps it from there.
The template, and so whatever is forked from it, knows the digest of the key alone.
"""

from __future__ import annotations

import errno
import hashlib
import hmac
import os
import secrets
import socket
import time
from collections.abc import Callable
from multiprocessing import forkserver, reduction
from typing import Any

KEY_BYTES = 32
# Who has connected has the key at hand, unless the machine is busy; until it is told, nobody else is served.
PATIENCE_S = 5.0
LOST = (OSError, EOFError, ValueError, RuntimeError)


def new_key() -> str:
    return secrets.token_hex(KEY_BYTES)


def digest_of(key: str) -> str:
    return hashlib.sha256(bytes.fromhex(key)).hexdigest()


def show_key(asked: socket.socket, key: str) -> None:
    asked.sendall(bytes.fromhex(key))


def show_to_all(key: str) -> None:
    """Let this process, the server, say the key whenever it asks its fork server for a process."""
    plain: Any = reduction

    def sendfds(asked: socket.socket, descriptors: list[int]) -> None:
        show_key(asked, key)
        plain.sendfds(asked, descriptors)

    _replace("sendfds", sendfds)


def ask_of_all(digest: str) -> None:
    """Let this process, the template, serve nobody who does not say the key."""
    plain: Any = reduction

    def recvfds(asker: socket.socket, size: int) -> list[int]:
        try:
            if not hmac.compare_digest(hashlib.sha256(_received(asker, PATIENCE_S)).hexdigest(), digest):
                raise PermissionError(errno.EPERM, "not the key")
            found: list[int] = plain.recvfds(asker, size)
            return found
        except LOST as error:
            # The one error that the loop of the fork server goes on after.
            raise OSError(errno.ECONNABORTED, os.strerror(errno.ECONNABORTED)) from error

    _replace("recvfds", recvfds)


def _received(asker: socket.socket, wait_s: float) -> bytes:
    """The whole of it in that time: byte by byte, anybody could hold up all others.

    Raises:
        OSError: it takes longer.
    """
    found, ends = b"", time.monotonic() + wait_s
    while len(found) < KEY_BYTES:
        asker.settimeout(max(ends - time.monotonic(), 0.001))
        if not (more := asker.recv(KEY_BYTES - len(found))):
            break
        found += more
    asker.settimeout(wait_s)
    return found


class _Instead:
    """A module with one function replaced, for one user of it."""

    def __init__(self, plain: Any, name: str, function: Callable[..., Any]) -> None:
        self._plain = plain
        setattr(self, name, function)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._plain, name)


def _replace(name: str, function: Callable[..., Any]) -> None:
    servers: Any = forkserver
    servers.reduction = _Instead(reduction, name, function)
