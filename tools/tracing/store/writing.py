"""Write spans and scores into the store, keep the row of their trace, and make room."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterable, Sequence

from ...storage.database import transaction
from ..redaction import BUILT_IN, Redactor
from ..score import Score
from ..span import Span
from .destination import UNDECIDED
from .rows import SPAN_FIELDS, Row, score_row, scrubbed, span_row
from .schema import DONE, WAITING

# A changed row is shipped again: it has a new revision, and nothing holds it back any more.
RENEWED = "revision=max({table}.revision + 1, excluded.revision), held='', why=''"
SCORE_FIELDS = ("id", "target", "about", "name", "value", "reason", "category", "project", "revision")
# A row stays where it belongs, whoever changes it.
STAYS = "destination=case {table}.destination when 0 then excluded.destination else {table}.destination end"

logger = logging.getLogger(__name__)


def _upsert(table: str, fields: Sequence[str], destination: str = ":destination") -> str:
    changes = ", ".join(f"{name}=excluded.{name}" for name in fields if name not in ("id", "revision"))
    names, marks = ", ".join(fields), ", ".join(f":{name}" for name in fields)
    return (
        f"insert into {table}({names}, destination) values({marks}, {destination}) "
        f"on conflict(id) do update set {changes}, {STAYS.format(table=table)}, {RENEWED.format(table=table)}"
    )


# A start that arrives late does not undo the end.
PUT_SPAN = f"{_upsert('spans', SPAN_FIELDS)} where excluded.end > 0 or spans.end = 0"
# A score goes where that is which it judges.
PUT_SCORE = _upsert(
    "scores",
    SCORE_FIELDS,
    "coalesce((select destination from traces where id=:about), (select destination from spans where id=:about), "
    ":destination)",
)
# Several roots may share a trace: it begins with the first, and ends as the one that ends last.
PUT_TRACE = (
    "insert into traces(id, root, last, name, start, end, revision, destination) "
    "values(:trace_id, :id, :id, :name, :start, :end, :revision, :destination) on conflict(id) do update set "
    "name=case when excluded.root=traces.root or excluded.start < traces.start "
    "then excluded.name else traces.name end, "
    "root=case when excluded.start < traces.start then excluded.root else traces.root end, "
    "last=case when excluded.end >= traces.end then excluded.last else traces.last end, "
    f"start=min(traces.start, excluded.start), end=max(traces.end, excluded.end), "
    f"{STAYS.format(table='traces')}, {RENEWED.format(table='traces')}"
)
# What grows with use. The rest goes with its spans (traces, summaries) or has as many rows as there are names.
GROWING = ("spans", "scores", "reminted")
OLDEST = (
    "select source, id from (select 'spans' source, id, start at from spans where {which} union all "
    "select 'scores', id, revision / 1e9 from scores where {which} union all "
    "select 'reminted', old, at from reminted where {unused}) order by at limit ?"
)
UNUSED = "not exists(select 1 from spans where trace_id=old or id=old)"
# By whether the row had not been shipped.
EVICTED = ("evicted_shipped", "evicted_unshipped")
# A value that no column takes: to try again would not help.
UNWRITABLE = (
    sqlite3.IntegrityError,
    sqlite3.DataError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
    OverflowError,
)
COUNT = "insert into counts values(?, ?) on conflict(name) do update set n=n+excluded.n"


def write(
    connection: sqlite3.Connection,
    items: Iterable[Span | Score],
    redactor: Redactor = BUILT_IN,
    destination: int = UNDECIDED,
) -> int:
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
            row["destination"] = destination
            (spans if isinstance(item, Span) else scores)[row["id"]] = row
    with transaction(connection):
        connection.executemany(PUT_SPAN, spans.values())
        roots = [row for row in spans.values() if not row["parent_id"] and not row["is_foreign"]]
        connection.executemany(PUT_TRACE, roots)
        connection.executemany(PUT_SCORE, scores.values())
    return lost


def write_each(
    connection: sqlite3.Connection, items: Iterable[Span | Score], redactor: Redactor, destination: int
) -> int:
    """Write one by one what cannot be written together; how many could not be."""
    lost = 0
    for item in items:
        try:
            lost += write(connection, [item], redactor, destination)
        except UNWRITABLE as error:
            logger.warning("%s cannot be stored: %s", item.name, error)
            lost += 1
    return lost


def count(connection: sqlite3.Connection, name: str, number: int) -> None:
    """Add to a counter that outlives the process."""
    connection.execute(COUNT, (name, number))


def evict(connection: sqlite3.Connection, max_bytes: int) -> None:
    """Delete a tenth at a time until the rest fits: what was shipped first, the oldest first, of whatever table.

    The file keeps its size and reuses the pages.
    """
    while used_bytes(connection) > max_bytes:
        with transaction(connection):
            if not (_evict(connection, DONE, UNUSED) or _evict(connection, "true", "true")):
                return


def _evict(connection: sqlite3.Connection, which: str, unused: str) -> int:
    """Delete the oldest tenth of all that grows; how many rows."""
    tenth = max(1, sum(_size(connection, table) for table in GROWING) // 10)
    oldest = connection.execute(OLDEST.format(which=which, unused=unused), (tenth,)).fetchall()
    gone: dict[str, list[str]] = {table: [] for table in GROWING}
    for table, identity in oldest:
        gone[table].append(identity)
    traces = _delete_spans(connection, gone["spans"])
    _delete_scores(connection, "id", gone["scores"])
    _delete_scores(connection, "about", [*gone["spans"], *traces])
    connection.executemany("delete from reminted where old=?", [(each,) for each in gone["reminted"]])
    return len(oldest)


def _size(connection: sqlite3.Connection, table: str) -> int:
    return int(connection.execute(f"select count(*) from {table}").fetchone()[0])


def _delete_spans(connection: sqlite3.Connection, identities: Iterable[str]) -> list[str]:
    """A trace goes with the last of its spans; the ids of those that went."""
    touched: set[str] = set()
    for identity in identities:
        query = f"delete from spans where id=? returning trace_id, {WAITING}"
        ((trace, waited),) = connection.execute(query, (identity,)).fetchall()
        touched.add(trace)
        count(connection, EVICTED[waited], 1)
    emptied = [trace for trace in touched if not _has_spans(connection, trace)]
    for trace in emptied:
        for (waited,) in connection.execute(f"delete from traces where id=? returning {WAITING}", (trace,)).fetchall():
            count(connection, EVICTED[waited], waited)
    return emptied


def _has_spans(connection: sqlite3.Connection, trace: str) -> bool:
    return connection.execute("select 1 from spans where trace_id=? limit 1", (trace,)).fetchone() is not None


def _delete_scores(connection: sqlite3.Connection, key: str, values: Iterable[str]) -> None:
    for value in values:
        query = f"delete from scores where {key}=? returning {WAITING}"
        for (waited,) in connection.execute(query, (value,)).fetchall():
            count(connection, EVICTED[waited], waited)


def used_bytes(connection: sqlite3.Connection) -> int:
    """The size of what is stored, without the free pages."""
    pages, free, size = (
        int(connection.execute(f"pragma {name}").fetchone()[0])
        for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * size
