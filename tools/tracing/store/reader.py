"""Read-only queries over the trace store, from any process."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...paging import Position
from ...storage.database import reading
from ..score import Score
from ..span import Carrier, Span
from .rows import score_of, span_of
from .schema import SUMMARISED, columns_of

NAMED = "exists(select 1 from spans s where s.trace_id = t.id and instr(lower(s.name), lower(:name)) > 0)"
# A call that asks for traces has a trace of its own, unless it is a part of another's.
ELSEWHERE = "(t.id <> :asking_trace or exists(select 1 from spans s where s.trace_id = t.id and s.id <> :asking_span))"
# Whose a trace is: who has made its first span. What others add to it later makes it no other's.
OWNED = (
    "coalesce((select json_extract(s.metadata, '$.\"mlops.owner\"') from spans s where s.trace_id = {} "
    "order by s.start, s.id limit 1), '')"
)


@dataclass(frozen=True)
class TraceSummary:
    """One line of the list of traces."""

    trace_id: str
    name: str
    start: float
    seconds: float
    spans: int
    errors: int

    @property
    def position(self) -> Position:
        return Position(self.start, self.trace_id)


@dataclass(frozen=True)
class TraceFilter:
    """Which traces: with a span of such a name, with a failed one, and more than the call that asks.

    `owner` is whose alone, None for everybody's.
    """

    name: str = ""
    errors_only: bool = False
    asking: Carrier = field(default_factory=Carrier)
    owner: str | None = None

    @property
    def where(self) -> str:
        parts = [NAMED] * bool(self.name) + ["t.errors > 0"] * self.errors_only
        parts += [f"{OWNED.format('t.id')} = :owner"] * (self.owner is not None)
        return " and ".join([*parts, ELSEWHERE] if self.asking.trace_id else parts) or "true"

    @property
    def values(self) -> dict[str, Any]:
        asking = {"asking_trace": self.asking.trace_id, "asking_span": self.asking.span_id}
        return {"name": self.name, "owner": self.owner, **asking}


ALL = TraceFilter()


class TraceReader:
    """Read-only queries over the store."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def spans(self, trace_id: str) -> list[Span]:
        """The spans of one trace in order of their start; `[]` for an unknown trace."""
        with self._rows("select * from spans where trace_id=? order by start, id", (trace_id,)) as rows:
            return [span_of(dict(row)) for row in rows]

    def has_trace(self, trace_id: str) -> bool:
        """Whether any span of the trace is stored."""
        with self._rows("select 1 from spans where trace_id=? limit 1", (trace_id,)) as rows:
            return next(rows, None) is not None

    def owner(self, trace_id: str) -> str | None:
        """The name of the token that a trace was begun with, empty without one; None of a trace that is not there."""
        asked = f"select {OWNED.format('?')} where exists(select 1 from spans where trace_id=?)"
        with self._rows(asked, (trace_id, trace_id)) as rows:
            found = next(rows, None)
            return None if found is None else str(found[0])

    def outline(self, trace_id: str) -> list[tuple[str, str]]:
        """Id and parent of every span of a trace, in order of their start."""
        with self._rows("select id, parent_id from spans where trace_id=? order by start, id", (trace_id,)) as rows:
            return [(row[0], row[1]) for row in rows]

    def some_spans(self, identities: Sequence[str]) -> dict[str, Span]:
        """Spans by their ids."""
        with self._rows(f"select * from spans where id in ({_marks(identities)})", identities) as rows:
            return {row["id"]: span_of(dict(row)) for row in rows}

    def span(self, identity: str) -> Span | None:
        """One span by its id."""
        return self.some_spans([identity]).get(identity)

    def open_spans(self) -> list[str]:
        """The ids of spans that have not ended, newest first, at most 50."""
        with self._rows("select id from spans where end=0 order by start desc limit 50") as rows:
            return [str(row[0]) for row in rows]

    def open_spans_of(self, trace_id: str) -> list[Span]:
        """The spans of one trace that have not ended."""
        with self._rows("select * from spans where trace_id=? and end=0", (trace_id,)) as rows:
            return [span_of(dict(row)) for row in rows]

    def scores(self, trace_id: str) -> list[Score]:
        """The scores of one trace and of its spans."""
        query = (
            "select * from scores where about=? or about in (select id from spans where trace_id=?) order by revision"
        )
        with self._rows(query, (trace_id, trace_id), table="scores") as rows:
            return [score_of(row) for row in rows]

    def scores_of(self, identities: Sequence[str]) -> list[Score]:
        """The scores of some traces and spans, in order of their change."""
        query = f"select * from scores where about in ({_marks(identities)}) order by revision"
        with self._rows(query, identities, table="scores") as rows:
            return [score_of(row) for row in rows]

    def traces(self, limit: int, after: Position | None = None, which: TraceFilter = ALL) -> list[TraceSummary]:
        """Newest traces first, from behind a position on."""
        query = (
            "select id, name, start, end - start, spans, errors from summaries t "
            f"where {which.where} and (start < :at or (start = :at and id < :id)) "
            "order by start desc, id desc limit :limit"
        )
        end = after or Position(1e308, "")
        with self._summaries(query, {**which.values, "at": end.at, "id": end.id, "limit": limit}) as rows:
            return [TraceSummary(*row) for row in rows]

    def count(self, which: TraceFilter = ALL) -> int:
        """How many traces there are."""
        with self._summaries(f"select count(*) from summaries t where {which.where}", which.values) as rows:
            return sum(int(row[0]) for row in rows)

    @contextmanager
    def _rows(self, query: str, values: Sequence[Any] = (), table: str = "spans") -> Generator[Iterator[Any]]:
        with self._connected() as connection:
            # an older file that nobody has written to since
            known = connection and (table == "spans" or columns_of(connection, table))
            yield iter(connection.execute(query, values)) if connection and known else iter(())

    @contextmanager
    def _summaries(self, query: str, values: dict[str, Any]) -> Generator[Iterator[Any]]:
        with self._connected() as connection:
            if connection is None:
                yield iter(())
            else:
                older = "" if columns_of(connection, "summaries") else f"with summaries as ({SUMMARISED}) "
                yield iter(connection.execute(older + query, values))

    @contextmanager
    def _connected(self) -> Generator[sqlite3.Connection | None]:
        """None where nothing was ever written."""
        if not os.path.lexists(self._path):
            yield None
            return
        with reading(self._path) as connection:
            connection.row_factory = sqlite3.Row
            yield connection


def _marks(values: Sequence[str]) -> str:
    return ", ".join("?" * len(values))
