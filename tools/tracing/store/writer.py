"""The writing side of the trace store: one thread of a process, which blocks no caller."""

from __future__ import annotations

import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ....config.settings import Settings
from ...storage.database import file_of
from ...storage.errors import StorageError, storage_error
from ..redaction import BUILT_IN, Redactor
from ..score import Score
from ..span import Span
from .destination import UNDECIDED, Destination
from .drops import add_drops, prepare_drops
from .opening import BUSY_S, opened
from .process_locks import WriterLock
from .writing import UNWRITABLE, evict, write, write_each

MAX_QUEUED = 20_000
ROWS_PER_WRITE = 1000
FLUSH_S = 0.1
RETRY_S = 2.0
CLOSE_S = 4.0

Item = Span | Score | threading.Event

logger = logging.getLogger(__name__)


class Moved(OSError):
    """The path leads to another file than the one that is open, or to none."""


class TraceStore:
    """Collects spans and scores without blocking the caller and writes them every 100 ms.

    What cannot be written stays in memory and is tried again; what has no room there, or is left when the store is
    closed, is counted (`drops`).

    Args:
        redactor: takes out what the settings name as secret, in the thread that writes.
        destination: the Opik that what is written belongs to.
    """

    def __init__(
        self, path: Path, max_mb: int, redactor: Redactor = BUILT_IN, destination: Destination | None = None
    ) -> None:
        self._path = path
        self._redactor = redactor
        self._destination = destination
        self._max_bytes = max_mb * 1024 * 1024
        self._queue: queue.SimpleQueue[Item] = queue.SimpleQueue()
        # What the thread has taken from the queue and not written yet.
        self._batch: list[Item] = []
        self._stop = threading.Event()
        self._give_up_at = 0.0
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._uncounted = 0
        # Why nothing can be written at the moment.
        self.failure: StorageError | None = None
        self.dropped = 0

    @classmethod
    def of(cls, settings: Settings) -> TraceStore:
        """The store of an installation."""
        return cls(settings.trace_store, settings.tracing.max_mb, Redactor.of(settings), Destination.of(settings))

    def follow(self, settings: Settings) -> None:
        """Let what is written from now on belong to the Opik of these settings."""
        self._destination = Destination.of(settings)

    def put(self, span: Span) -> None:
        """Queue the span as it is now; when the disk cannot keep up it is counted as dropped."""
        # What snapshots made is never changed again; the rest may be while the row waits to be written.
        self._put(replace(span, metadata=dict(span.metadata), tags=list(span.tags), usage=dict(span.usage)))

    def put_score(self, score: Score) -> None:
        """Queue a score like a span."""
        self._put(score)

    def flush(self, timeout_s: float = 1.0) -> None:
        """Wait until every span put so far can be read; blocking."""
        if self._thread is not None:
            written = threading.Event()
            self._queue.put(written)
            written.wait(timeout_s)

    def close(self, wait_s: float = CLOSE_S) -> bool:
        """Write what is queued and end the thread; whether everything is written.

        Args:
            wait_s: how long a store is waited for that another process has locked.
        """
        self._give_up_at = time.monotonic() + wait_s
        self._stop.set()
        if self._batch or not self._queue.empty():
            self._ensure_running()
        if self._thread is not None:
            self._thread.join(timeout=wait_s + 2 * BUSY_S)
        self._report()
        if self.dropped:
            logger.warning("%d spans could not be written to %s", self.dropped, self._path)
        return not self.dropped and not (self._thread and self._thread.is_alive())

    def _put(self, item: Span | Score) -> None:
        if self._queue.qsize() + len(self._batch) >= MAX_QUEUED:
            self._drop(1)
            return
        self._queue.put(item)
        self._ensure_running()

    def _drop(self, number: int) -> None:
        with self._lock:
            self.dropped += number
            self._uncounted += number

    def _ensure_running(self) -> None:
        if self._thread is not None and self._thread.is_alive():
            return
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="trace-writer", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                with opened(self._path, BUSY_S) as connection, WriterLock(self._path):
                    prepare_drops(self._path)
                    return self._pump(connection, file_of(self._path))
            except Moved as error:
                logger.warning("%s", error)
            except (OSError, sqlite3.Error) as error:
                self._failed(error)
                if self._stop.is_set() and not (_is_busy(error) and time.monotonic() < self._give_up_at):
                    return self._drop_all()
                self._stop.wait(0 if _is_busy(error) else RETRY_S)

    def _failed(self, error: OSError | sqlite3.Error) -> None:
        before, self.failure = self.failure, storage_error("the trace store", self._path, error)
        if before is None:
            logger.warning("traces wait in memory: %s", self.failure)
        self._report()

    def _pump(self, connection: sqlite3.Connection, identity: tuple[int, int] | None) -> None:
        while not (self._stop.wait(FLUSH_S) and self._queue.empty() and not self._batch):
            self._batch.extend(self._drain(ROWS_PER_WRITE - len(self._batch)))
            now = file_of(self._path)
            # The log of a replaced file misleads whoever reads the new one; a new file is made when there is need.
            if now != identity and (self._batch or now):
                raise Moved(f"{self._path} was {'replaced' if now else 'moved away: a new file is made'}")
            if self._batch:
                self._write(connection)

    def _drain(self, limit: int) -> Iterator[Item]:
        for _ in range(limit):
            try:
                yield self._queue.get_nowait()
            except queue.Empty:
                return

    def _write(self, connection: sqlite3.Connection) -> None:
        rows = [item for item in self._batch if not isinstance(item, threading.Event)]
        if rows:
            self._drop(self._lost(connection, rows))
        self.failure = None
        done, self._batch = self._batch, []
        for item in done:
            if isinstance(item, threading.Event):
                item.set()
        self._report()
        if rows:
            evict(connection, self._max_bytes)

    def _lost(self, connection: sqlite3.Connection, rows: list[Span | Score]) -> int:
        """Write the rows; how many can never be."""
        destination = self._destination.number(connection) if self._destination else UNDECIDED
        try:
            return write(connection, rows, self._redactor, destination)
        except UNWRITABLE:
            return write_each(connection, rows, self._redactor, destination)

    def _drop_all(self) -> None:
        left = [*self._batch, *self._drain(self._queue.qsize())]
        self._batch = []
        self._drop(sum(not isinstance(item, threading.Event) for item in left))
        self._report()

    def _report(self) -> None:
        """Count what was dropped where other processes see it; what cannot be counted now is later."""
        with self._lock:
            number, self._uncounted = self._uncounted, 0
        if not number:
            return
        try:
            add_drops(self._path, number)
        except OSError as error:
            logger.warning("%d dropped spans cannot be counted in %s: %s", number, self._path.parent, error)
            with self._lock:
                self._uncounted += number


def _is_busy(error: Exception) -> bool:
    """Whether another process has the file locked, so that it is worth trying again at once."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
