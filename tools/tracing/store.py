"""The local trace store: SQLite in WAL mode, written by one thread, readable by any process."""

from __future__ import annotations

import json
import logging
import queue
import sqlite3
import threading
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..database import database, transaction
from .span import Span

SCHEMA = """
create table if not exists spans(
  id text primary key, trace_id text not null, parent_id text not null, name text not null, kind text not null,
  start real not null, end real not null, status text not null,
  input text, output text, metadata text, error text not null);
create index if not exists spans_trace on spans(trace_id);
create index if not exists spans_start on spans(start);
"""
UPSERT = "insert or replace into spans values(?,?,?,?,?,?,?,?,?,?,?,?)"
MAX_QUEUED = 20_000
ROWS_PER_WRITE = 1000
FLUSH_S = 0.1
RETRY_S = 5.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TraceSummary:
    trace_id: str
    name: str
    start: float
    seconds: float
    spans: int
    errors: int


class TraceReader:
    """Read-only queries over the store."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def spans(self, trace_id: str) -> list[Span]:
        """The spans of one trace in order of their start; `[]` for an unknown trace."""
        with self._rows("select * from spans where trace_id=? order by start, id", trace_id) as rows:
            return [_span(row) for row in rows]

    def traces(self, limit: int, offset: int, name: str = "", errors_only: bool = False) -> list[TraceSummary]:
        """Newest traces first, named by their earliest span."""
        query = (
            "select trace_id, (select name from spans s where s.trace_id=t.trace_id order by start, id limit 1) first, "
            "min(start) began, max(max(end, start)) - min(start) took, count(*) n, sum(status='error') bad "
            "from spans t group by trace_id having (?='' or sum(instr(lower(name), lower(?)))>0) and (not ? or bad>0) "
            "order by began desc limit ? offset ?"
        )
        with self._rows(query, name, name, errors_only, limit, offset) as rows:
            return [TraceSummary(*row) for row in rows]

    def count(self, name: str = "", errors_only: bool = False) -> int:
        query = (
            "select count(*) from (select 1 from spans group by trace_id "
            "having (?='' or sum(instr(lower(name), lower(?)))>0) and (not ? or sum(status='error')>0))"
        )
        with self._rows(query, name, name, errors_only) as rows:
            return int(next(iter(rows), (0,))[0])

    @contextmanager
    def _rows(self, query: str, *parameters: Any) -> Generator[Iterator[tuple[Any, ...]]]:
        if not self._path.exists():
            yield iter(())
            return
        with closing(sqlite3.connect(f"file:{self._path}?mode=ro", uri=True, timeout=5)) as connection:
            yield iter(connection.execute(query, parameters))


class TraceStore:
    """Collects spans without blocking the caller and writes them every 100 ms."""

    def __init__(self, path: Path, max_mb: int) -> None:
        self._path = path
        self._max_bytes = max_mb * 1024 * 1024
        self._queue: queue.SimpleQueue[tuple[Any, ...] | threading.Event] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self.dropped = 0

    def put(self, span: Span) -> None:
        """Queue one span; when the disk cannot keep up the span is counted as dropped."""
        if self._queue.qsize() >= MAX_QUEUED:
            self.dropped += 1
            return
        self._queue.put(_row(span))
        self._ensure_running()

    def flush(self, timeout_s: float = 1.0) -> None:
        """Wait until every span put so far can be read; blocking."""
        if self._thread is not None:
            written = threading.Event()
            self._queue.put(written)
            written.wait(timeout_s)

    def close(self) -> None:
        """Write what is queued and end the thread."""
        self._stop.set()
        if not self._queue.empty():
            self._ensure_running()
        if self._thread is not None:
            self._thread.join(timeout=5)
        if self.dropped:
            logger.warning("%d spans could not be written to %s", self.dropped, self._path)

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
                with database(self._path, SCHEMA) as connection:
                    return self._pump(connection)
            except (OSError, sqlite3.Error) as error:
                logger.warning("traces cannot be written to %s: %s", self._path, error)
            if self._stop.wait(RETRY_S):
                self.dropped += len(list(self._drain(MAX_QUEUED)))
                return None

    def _pump(self, connection: sqlite3.Connection) -> None:
        while not (self._stop.wait(FLUSH_S) and self._queue.empty()):
            items = list(self._drain(ROWS_PER_WRITE))
            if rows := [item for item in items if isinstance(item, tuple)]:
                self._write(connection, rows)
                self._evict(connection)
            for item in items:
                if isinstance(item, threading.Event):
                    item.set()

    def _drain(self, limit: int) -> Iterator[tuple[Any, ...] | threading.Event]:
        for _ in range(limit):
            try:
                yield self._queue.get_nowait()
            except queue.Empty:
                return

    def _write(self, connection: sqlite3.Connection, rows: list[tuple[Any, ...]]) -> None:
        try:
            with transaction(connection):
                connection.executemany(UPSERT, rows)
        except sqlite3.OperationalError:  # disk full or locked for longer than the timeout
            self.dropped += len(rows)

    def _evict(self, connection: sqlite3.Connection) -> None:
        """Delete the oldest tenth until the rest fits; the file keeps its size and reuses the pages."""
        while self._used_bytes(connection) > self._max_bytes:
            with transaction(connection):
                deleted = connection.execute(
                    "delete from spans where id in (select id from spans order by start limit "
                    "(select max(1, count(*) / 10) from spans))"
                ).rowcount
            if not deleted:
                return

    def _used_bytes(self, connection: sqlite3.Connection) -> int:
        pages, free, size = (
            int(connection.execute(f"pragma {name}").fetchone()[0])
            for name in ("page_count", "freelist_count", "page_size")
        )
        return (pages - free) * size


def _row(span: Span) -> tuple[Any, ...]:
    return (
        span.id, _storable(span.trace_id), _storable(span.parent_id), _storable(span.name), span.kind,
        span.start, span.end, span.status,
        _json(span.input), _json(span.output), _json(span.metadata), _storable(span.error),
    )  # fmt: skip


def _json(value: Any) -> str | None:
    return None if value is None else _storable(json.dumps(value, ensure_ascii=False))


def _storable(text: str) -> str:
    """SQLite takes no lone surrogates, which JSON may carry."""
    return text.encode("utf-8", "replace").decode()


def _span(row: tuple[Any, ...]) -> Span:
    identity, trace, parent, name, kind, start, end, status, given, made, metadata, error = row
    return Span(
        trace, parent, name, kind, identity, start, end, status,
        json.loads(given or "null"), json.loads(made or "null"), json.loads(metadata or "{}"), error,
    )  # fmt: skip
