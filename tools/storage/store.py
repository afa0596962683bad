"""One file of ours with its schema, its own few threads, and errors in words."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import anyio
import anyio.to_thread

from .database import TIMEOUT_S, database, transaction
from .errors import StorageError, translated

T = TypeVar("T")
THREADS = 4
WAIT_S = 25.0


class Store:
    """An SQLite file. All methods raise StorageError when it cannot be used.

    Args:
        what: how an error calls it, e.g. "the job table".
        upgrade: brings a file of an older version up to this one; called with the first connection.
        then: what an error says last.
        timeout_s: how long a locked file is waited for.
    """

    def __init__(
        self,
        path: Path,
        schema: str,
        what: str,
        upgrade: Callable[[sqlite3.Connection], None] | None = None,
        then: str = "",
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self.path = path
        self._schema = schema
        self._what = what
        self._upgrade = upgrade
        self._then = then
        self._timeout_s = timeout_s

    @contextmanager
    def open(self, timeout_s: float | None = None) -> Generator[sqlite3.Connection]:
        """A connection that commits every statement."""
        wait_s = self._timeout_s if timeout_s is None else timeout_s
        with (
            translated(self._what, self.path, self._then),
            database(self.path, self._schema, wait_s) as connection,
        ):
            if self._upgrade is not None:
                self._upgrade(connection)
                self._upgrade = None
            yield connection

    @contextmanager
    def writing(self, timeout_s: float | None = None) -> Generator[sqlite3.Connection]:
        """One write transaction."""
        with self.open(timeout_s) as connection, transaction(connection):
            yield connection


class BlockingCalls:
    """The calls of the event loop to a store, so many at a time: should it be locked, only its own callers wait.

    The threads that all share also carry stdin and stdout, so a store must not take them all.

    Args:
        what: what is used, as an error calls it.
        number: how many threads they have.
        wait_s: how long a call waits for one.
    """

    def __init__(self, what: str, number: int = THREADS, wait_s: float = WAIT_S) -> None:
        self._what = what
        self._wait_s = wait_s
        self._free = anyio.CapacityLimiter(number)
        self._any = anyio.CapacityLimiter(number)

    async def run(self, function: Callable[[], T]) -> T:
        """Call a blocking function outside of the event loop.

        Raises:
            StorageError: no thread was free for too long.
        """
        call = object()
        try:
            with anyio.fail_after(self._wait_s):
                await self._free.acquire_on_behalf_of(call)
        except TimeoutError:
            raise StorageError(
                f"{self._what} is busy: too many calls wait for it", "Repeat it in a minute.", "busy"
            ) from None
        try:
            return await anyio.to_thread.run_sync(function, limiter=self._any)
        finally:
            self._free.release_on_behalf_of(call)
