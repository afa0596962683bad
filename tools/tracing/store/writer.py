"""The writing side of the trace store: one thread of a process, which blocks no caller."""

from __future__ import annotations

import logging
import queue
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ....config.settings import Settings
from ...storage.database import database
from ..redaction import BUILT_IN, Redactor
from ..score import Score
from ..span import Span
from .process_locks import WriterLock
from .schema import SCHEMA, upgrade
from .writing import count, evict, write

MAX_QUEUED = 20_000
ROWS_PER_WRITE = 1000
FLUSH_S = 0.1
RETRY_S = 5.0

Item = Span | Score | threading.Event

logger = logging.getLogger(__name__)


class TraceStore:
    """Collects spans and scores without blocking the caller and writes them every 100 ms.

    Args:
        redactor: takes out what the settings name as secret, in the thread that writes.
    """

    def __init__(self, path: Path, max_mb: int, redactor: Redactor = BUILT_IN) -> None:
        self._path = path
        self._redactor = redactor
        self._max_bytes = max_mb * 1024 * 1024
        self._queue: queue.SimpleQueue[Item] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._uncounted = 0
        self.dropped = 0

    @classmethod
    def of(cls, settings: Settings) -> TraceStore:
        """The store of an installation."""
        return cls(settings.trace_store, settings.tracing.max_mb, Redactor.of(settings))

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

    def close(self) -> bool:
        """Write what is queued and end the thread; whether everything is written."""
        self._stop.set()
        if not self._queue.empty():
            self._ensure_running()
        if self._thread is not None:
            self._thread.join(timeout=5)
        if self.dropped:
            logger.warning("%d spans could not be written to %s", self.dropped, self._path)
        return not self.dropped and not (self._thread and self._thread.is_alive())

    def _put(self, item: Span | Score) -> None:
        if self._queue.qsize() >= MAX_QUEUED:
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
                with database(self._path, SCHEMA) as connection, WriterLock(self._path):
                    upgrade(connection)
                    return self._pump(connection)
            except (OSError, sqlite3.Error) as error:
                logger.warning("traces cannot be written to %s: %s", self._path, error)
            if self._stop.wait(RETRY_S):
                self._drop(sum(not isinstance(item, threading.Event) for item in self._drain(MAX_QUEUED)))
                return None

    def _pump(self, connection: sqlite3.Connection) -> None:
        while not (self._stop.wait(FLUSH_S) and self._queue.empty()):
            items = list(self._drain(ROWS_PER_WRITE))
            if rows := [item for item in items if not isinstance(item, threading.Event)]:
                self._write(connection, rows)
            for item in items:
                if isinstance(item, threading.Event):
                    item.set()

    def _drain(self, limit: int) -> Iterator[Item]:
        for _ in range(limit):
            try:
                yield self._queue.get_nowait()
            except queue.Empty:
                return

    def _write(self, connection: sqlite3.Connection, rows: list[Span | Score]) -> None:
        try:
            self._drop(write(connection, rows, self._redactor))
            evict(connection, self._max_bytes)
        except sqlite3.OperationalError:  # disk full or locked for longer than the timeout
            self._drop(len(rows))
        else:
            self._report(connection)

    def _report(self, connection: sqlite3.Connection) -> None:
        with self._lock:
            number, self._uncounted = self._uncounted, 0
        if number:
            count(connection, "dropped", number)
