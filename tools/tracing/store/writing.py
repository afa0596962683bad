"""Write spans and scores into the store, keep the row of their trace, and make room."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterable, Sequence

from ...storage.database import transaction
from ..redaction import BUILT_IN, Redactor
from ..score import Score
from ..span import Span
from .rows import SPAN_FIELDS, Row, score_row, scrubbed, span_row
from .schema import DONE, WAITING

# A changed row is shipped again: it has a new revision, and nothing holds it back any more.
RENEWED = "revision=max({table}.revision + 1, excluded.revision), held='', why=''"
SCORE_FIELDS = ("id", "target", "about", "name", "value", "reason", "category", "project", "revision")
KEEP_REMINTED_S = 90 * 24 * 3600

logger = logging.getLogger(__name__)


def _upsert(table: str, fields: Sequence[str]) -> str:
    changes = ", ".join(f"{name}=excluded.{name}" for name in fields if name not in ("id", "revision"))
    names, marks = ", ".join(fields), ", ".join(f":{name}" for name in fields)
    return (
        f"insert into {table}({names}) values({marks}) "
        f"on conflict(id) do update set {changes}, {RENEWED.format(table=table)}"
    )


# A start that arrives late does not undo the end.
PUT_SPAN = f"{_upsert('spans', SPAN_FIELDS)} where excluded.end > 0 or spans.end = 0"
PUT_SCORE = _upsert("scores", SCORE_FIELDS)
# Several roots may share a trace: it begins with the first, and ends as the one that ends last.
PUT_TRACE = (
    "insert into traces(id, root, last, name, start, end, revision) "
    "values(:trace_id, :id, :id, :name, :start, :end, :revision) on conflict(id) do update set "
    "name=case when excluded.root=traces.root or excluded.start < traces.start "
    "then excluded.name else traces.name end, "
    "root=case when excluded.start < traces.start then excluded.root else traces.root end, "
    "last=case when excluded.end >= traces.end then excluded.last else traces.last end, "
    f"start=min(traces.start, excluded.start), end=max(traces.end, excluded.end), {RENEWED.format(table='traces')}"
)
COUNT = "insert into counts values(?, ?) on conflict(name) do update set n=n+excluded.n"


def write(connection: sqlite3.Connection, items: Iterable[Span | Score], redactor: Redactor = BUILT_IN) -> int:
    """Write all in one transaction; how many could not be, because they hold what is no JSON."""
    spans: dict[str, Row] = {}
    scores: dict[str, Row] = {}
    lost = 0
    for item in items:
        try:
            kept = scrubbed(item, redactor)
            row = span_row(kept) if isinstance(kept, Span) else score_row(kept)
        except (TypeError, ValueError, RecursionError) as error:
            logger.warning("%s cannot be stored: %s", item.name, error)
            lost += 1
        else:
            (spans if isinstance(item, Span) else scores)[row["id"]] = row
    with transaction(connection):
        connection.executemany(PUT_SPAN, spans.values())
        roots = [row for row in spans.values() if not row["parent_id"] and not row["is_foreign"]]
        connection.executemany(PUT_TRACE, roots)
        connection.executemany(PUT_SCORE, scores.values())
    return lost


def count(connection: sqlite3.Connection, name: str, number: int) -> None:
    """Add to a counter that outlives the process."""
    connection.execute(COUNT, (name, number))


def evict(connection: sqlite3.Connection, max_bytes: int) -> None:
    """Delete a tenth at a time until the rest fits: what was shipped first, the oldest first.

    The file keeps its size and reuses the pages.
    """
    while used_bytes(connection) > max_bytes:
        with transaction(connection):
            tenth = max(1, connection.execute("select count(*) from spans").fetchone()[0] // 10)
            if not (
                _evict(connection, DONE, tenth, "evicted_shipped")
                or _evict(connection, "true", tenth, "evicted_unshipped")
            ):
                return


def _evict(connection: sqlite3.Connection, which: str, number: int, counter: str) -> int:
    gone = connection.execute(
        f"delete from spans where id in (select id from spans where {which} order by start limit ?) returning trace_id",
        (number,),
    ).fetchall()
    count(connection, counter, len(gone))
    for (trace,) in set(gone):
        _forget(connection, trace)
    connection.execute("delete from reminted where at < unixepoch() - ?", (KEEP_REMINTED_S,))
    return len(gone)


def _forget(connection: sqlite3.Connection, trace: str) -> None:
    """A trace without spans goes with the last of them, and so do the scores of what is gone."""
    for table, key in (("traces", "id"), ("scores", "about")):
        waiting = connection.execute(
            f"delete from {table} where {key}=? and not exists(select 1 from spans where trace_id=?) "
            f"returning {WAITING}",
            (trace, trace),
        ).fetchall()
        count(connection, "evicted_unshipped", sum(row[0] for row in waiting))


def used_bytes(connection: sqlite3.Connection) -> int:
    """The size of what is stored, without the free pages."""
    pages, free, size = (
        int(connection.execute(f"pragma {name}").fetchone()[0])
        for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * size
