"""Read-only queries over the trace store, from any process."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..score import Score
from ..span import Span
from .rows import score_of, span_of
from .schema import columns_of


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
            return [span_of(dict(row)) for row in rows]

    def span(self, identity: str) -> Span | None:
        """One span by its id."""
        with self._rows("select * from spans where id=?", identity) as rows:
            return next((span_of(dict(row)) for row in rows), None)

    def open_spans(self) -> list[str]:
        """The ids of spans that have not ended, newest first, at most 50."""
        with self._rows("select id from spans where end=0 order by start desc limit 50") as rows:
            return [str(row[0]) for row in rows]

    def scores(self, trace_id: str) -> list[Score]:
        """The scores of one trace and of its spans."""
        query = (
            "select * from scores where about=? or about in (select id from spans where trace_id=?) order by revision"
        )
        with self._rows(query, trace_id, trace_id, table="scores") as rows:
            return [score_of(row) for row in rows]

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
            "select count(*) n from (select 1 from spans group by trace_id "
            "having (?='' or sum(instr(lower(name), lower(?)))>0) and (not ? or sum(status='error')>0))"
        )
        with self._rows(query, name, name, errors_only) as rows:
            return int(next(iter(rows), {"n": 0})["n"])

    @contextmanager
    def _rows(self, query: str, *parameters: Any, table: str = "spans") -> Generator[Iterator[Any]]:
        if not self._path.exists():
            yield iter(())
            return
        with closing(sqlite3.connect(f"file:{self._path}?mode=ro", uri=True, timeout=5)) as connection:
            connection.row_factory = sqlite3.Row
            # an older file that nobody has written to since
            known = table == "spans" or columns_of(connection, table)
            yield iter(connection.execute(query, parameters)) if known else iter(())
