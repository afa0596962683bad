"""What of the store waits to be shipped, and what became of it."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...storage.database import transaction
from ..ids import dated, is_uuid7, seconds_of
from ..redaction import redact
from ..store.schema import TABLES, VERSION, WAITING
from ..store.writing import count
from .bodies import Kind

KINDS: Sequence[Kind] = ("traces", "spans", "trace_scores", "span_scores")
PARKED_SHOWN = 1000
_SCORES = "select s.*, coalesce({trace}, '') trace_id from scores s where s.shipped < s.revision and s.held = '' "
# What still runs is shipped as started once it has run for a while.
_DUE = "where s.shipped < s.revision and s.held = '' and (s.end > 0 or s.start < :before) "
# A trace says what its first root was given and what the root that ended last gave back.
SELECT: Mapping[Kind, str] = {
    "traces": (
        "select s.*, s.id trace_id, r.input, r.metadata, r.tags, r.thread, "
        "l.output, l.error, l.error_type, l.error_trace, l.status "
        f"from traces s left join spans r on r.id=s.root left join spans l on l.id=s.last {_DUE}"
    ),
    "spans": f"select s.* from spans s {_DUE}",
    "trace_scores": _SCORES.format(trace="about") + "and target='trace' ",
    "span_scores": _SCORES.format(trace="(select trace_id from spans p where p.id=s.about)") + "and target='span' ",
}


@dataclass(frozen=True)
class Parked:
    """A row that Opik has refused. `kind` is the table it lies in, `id` what requeues it."""

    kind: str
    id: str
    name: str
    why: str


@dataclass(frozen=True)
class Status:
    """Rows are traces, spans and scores. Times are seconds since the epoch, 0 for never.

    `stored` = `waiting` + `shipped` + `parked` + `left_out` (by the sampling rate); `delivered` counts what Opik has
    accepted since the file was made; `evicted` and `dropped` count what made room or could not be written.
    """

    stored: int = 0
    waiting: int = 0
    shipped: int = 0
    parked: int = 0
    left_out: int = 0
    delivered: int = 0
    evicted_shipped: int = 0
    evicted_unshipped: int = 0
    dropped: int = 0
    oldest_waiting: float = 0.0
    last_success: float = 0.0
    last_failure: float = 0.0
    failure: str = ""

    @property
    def backlog(self) -> str:
        """What has not reached Opik, in one line; empty when all has."""
        parts = [
            (self.waiting, "waiting to be shipped"),
            (self.parked, "refused by Opik (mlops-mcp traces parked)"),
            (self.evicted_unshipped, "evicted before they were shipped"),
            (self.dropped, "not written"),
        ]
        return ", ".join(f"{number} {words}" for number, words in parts if number)


class Outbox:
    """The shipper's side of the store; the connection is that of the caller's thread."""

    def __init__(self, connection: sqlite3.Connection, max_age_s: float) -> None:
        self._db = connection
        self._db.row_factory = sqlite3.Row
        self._max_age_s = max_age_s

    def batch(self, kind: Kind, limit: int, started_before: float) -> list[dict[str, Any]]:
        """The rows of a kind that have waited longest; what still runs only if it has for a while."""
        query = f"{SELECT[kind]} order by s.revision limit :limit"
        return [dict(row) for row in self._db.execute(query, {"before": started_before, "limit": limit})]

    def wire_id(self, identity: str) -> str:
        """The id on the wire; one that is too old for a row that Opik has never seen gets a new time, for good."""
        found = self._db.execute("select new from reminted where old=?", (identity,)).fetchone()
        if found:
            return str(found[0])
        if not is_uuid7(identity) or not self.is_stale(identity) or not self._never_shipped(identity):
            return identity
        now = time.time()
        new = dated(identity, now)
        self._db.execute("insert or ignore into reminted values(?, ?, ?)", (identity, new, now))
        count(self._db, "reminted", 1)
        return new

    def is_stale(self, identity: str) -> bool:
        return abs(time.time() - seconds_of(identity)) > self._max_age_s

    def _never_shipped(self, identity: str) -> bool:
        """Whether it is a row of ours that has not been accepted under this id."""
        query = "select shipped from traces where id=? union all select shipped from spans where id=?"
        rows = self._db.execute(query, (identity, identity)).fetchall()
        return bool(rows) and not any(row[0] for row in rows)

    def accepted(self, kind: Kind, rows: Iterable[Mapping[str, Any]]) -> None:
        """Note that Opik has answered 2xx for these revisions; what has changed meanwhile goes on waiting."""
        sent = [(row["revision"], row["id"], row["revision"]) for row in rows]
        with transaction(self._db):
            self._db.executemany(f"update {table_of(kind)} set shipped=? where id=? and revision>=?", sent)
            count(self._db, "delivered", len(sent))
            _note(self._db, "success", "")

    def hold(self, kind: Kind, rows: Iterable[Mapping[str, Any]], held: str, why: str = "") -> None:
        with transaction(self._db):
            self._db.executemany(
                f"update {table_of(kind)} set held=?, why=? where id=? and revision=?",
                [(held, redact(why), row["id"], row["revision"]) for row in rows],
            )

    def failed(self, why: str) -> None:
        with transaction(self._db):
            _note(self._db, "failure", redact(why))

    def waiting(self) -> int:
        """How many rows wait, those of what still runs included."""
        return _waiting(self._db)


def table_of(kind: Kind) -> str:
    return "scores" if kind.endswith("scores") else kind


def waits(store: Path) -> bool:
    """Whether anything waits to be shipped; cheap enough to ask every second. Raises sqlite3.Error."""
    if not store.exists():
        return False
    with closing(_reading(store)) as db:
        if _version(db) < VERSION:
            return bool(db.execute("select 1 from spans limit 1").fetchone())
        return any(db.execute(f"select 1 from {table} where {WAITING} limit 1").fetchone() for table in TABLES)


def status(store: Path) -> Status:
    """The state of the backlog. Raises sqlite3.Error when the file is none of ours."""
    if not store.exists():
        return Status()
    with closing(_reading(store)) as db:
        if _version(db) < VERSION:
            spans = int(db.execute("select count(*) from spans").fetchone()[0])
            return Status(stored=spans, waiting=spans)
        counts = dict(db.execute("select name, n from counts").fetchall())
        notes = {name: (at, text) for name, at, text in db.execute("select * from notes")}
        stored, waiting = _total(db, "true"), _waiting(db)
        parked, left_out = _total(db, "held='parked'"), _total(db, "held='sampled'")
        return Status(
            stored=stored,
            waiting=waiting,
            shipped=stored - waiting - parked - left_out,
            parked=parked,
            left_out=left_out,
            **{name: counts.get(name, 0) for name in ("delivered", "evicted_shipped", "evicted_unshipped", "dropped")},
            oldest_waiting=_oldest(db),
            last_success=notes.get("success", (0.0, ""))[0],
            last_failure=notes.get("failure", (0.0, ""))[0],
            failure=notes.get("failure", (0.0, ""))[1],
        )


def parked(store: Path) -> list[Parked]:
    """What Opik has refused, oldest first."""
    if not store.exists():
        return []
    with closing(_reading(store)) as db:
        return list(_parked(db)) if _version(db) >= VERSION else []


def requeue(connection: sqlite3.Connection, identity: str) -> int:
    """Let a parked row, or `all` of them, wait again; how many."""
    which = "held='parked'" if identity == "all" else "held='parked' and id=?"
    values = () if identity == "all" else (identity,)
    with transaction(connection):
        return sum(
            connection.execute(f"update {table} set held='', why='' where {which}", values).rowcount for table in TABLES
        )


def _parked(db: sqlite3.Connection) -> Iterator[Parked]:
    for table in TABLES:
        query = f"select id, name, why from {table} where held='parked' order by revision limit ?"
        for identity, name, why in db.execute(query, (PARKED_SHOWN,)):
            yield Parked(table, identity, name, why)


def _waiting(db: sqlite3.Connection) -> int:
    return _total(db, WAITING)


def _total(db: sqlite3.Connection, which: str) -> int:
    return sum(int(db.execute(f"select count(*) from {table} where {which}").fetchone()[0]) for table in TABLES)


def _oldest(db: sqlite3.Connection) -> float:
    oldest = [db.execute(f"select min(revision) from {table} where {WAITING}").fetchone()[0] for table in TABLES]
    return min((revision for revision in oldest if revision), default=0) / 1e9


def _note(db: sqlite3.Connection, name: str, text: str) -> None:
    db.execute("insert or replace into notes values(?, ?, ?)", (name, time.time(), text))


def _version(db: sqlite3.Connection) -> int:
    return int(db.execute("pragma user_version").fetchone()[0])


def _reading(store: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{store.absolute().as_uri()}?mode=ro", uri=True, timeout=5)
