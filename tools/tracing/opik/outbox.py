"""What of the store waits to be shipped, and what became of it."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...storage.database import reading, transaction
from ..ids import dated, is_uuid7, seconds_of
from ..redaction import redact
from ..store.destination import UNDECIDED, Destination
from ..store.drops import drops
from ..store.schema import TABLES, VERSION, WAITING, columns_of, version_of
from ..store.writing import count
from .bodies import Kind

KINDS: Sequence[Kind] = ("traces", "spans", "trace_scores", "span_scores")
PARKED_SHOWN = 1000
_OURS = "where s.shipped < s.revision and s.held = '' and s.destination = :destination "
_SCORES = "select s.*, coalesce({trace}, '') trace_id from scores s " + _OURS
# What still runs is shipped as started once it has run for a while.
_DUE = f"{_OURS} and (s.end > 0 or s.start < :before) "
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

    `stored` = `waiting` + `elsewhere` (it waits for another Opik than was asked about) + `shipped` + `parked` +
    `left_out` (by the sampling rate); `delivered` counts what Opik has accepted since the file was made; `evicted` and
    `dropped` count what made room or could not be written.
    """

    stored: int = 0
    waiting: int = 0
    elsewhere: int = 0
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
        return _listed((self.waiting, "waiting to be shipped"), *self._kept_back())

    @property
    def losses(self) -> str:
        """What is wrong where no Opik is configured, so that nothing waits for one; empty when nothing is."""
        return _listed((self.dropped, "not written"))

    def _kept_back(self) -> Sequence[tuple[int, str]]:
        return (
            (self.elsewhere, "waiting for another Opik (mlops-mcp traces status)"),
            (self.parked, "refused by Opik (mlops-mcp traces parked)"),
            (self.evicted_unshipped, "evicted before they were shipped"),
            (self.dropped, "not written"),
        )


def _listed(*parts: tuple[int, str]) -> str:
    return ", ".join(f"{number} {words}" for number, words in parts if number)


@dataclass(frozen=True)
class Backlog:
    """What waits for one Opik; an empty `url` for what was written before one was configured."""

    url: str
    workspace: str
    project: str
    waiting: int


class Outbox:
    """The side of the store that ships to one destination; the connection is that of the caller's thread."""

    def __init__(self, connection: sqlite3.Connection, max_age_s: float, destination: Destination) -> None:
        self._db = connection
        self._db.row_factory = sqlite3.Row
        self._max_age_s = max_age_s
        self._destination = destination.number(connection)

    def claim(self) -> None:
        """Take over what was written while no Opik was configured, all at once: what is one trace stays together."""
        which = f"destination={UNDECIDED} and {WAITING}"
        if any(self._db.execute(f"select 1 from {table} where {which} limit 1").fetchone() for table in TABLES):
            with transaction(self._db):
                for table in TABLES:
                    self._db.execute(f"update {table} set destination=? where {which}", (self._destination,))

    def batch(self, kind: Kind, limit: int, started_before: float) -> list[dict[str, Any]]:
        """The rows of a kind that have waited longest; what still runs only if it has for a while."""
        query = f"{SELECT[kind]} order by s.revision limit :limit"
        values = {"before": started_before, "limit": limit, "destination": self._destination}
        return [dict(row) for row in self._db.execute(query, values)]

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
            self._db.execute("update destinations set last_success=? where id=?", (time.time(), self._destination))

    def hold(self, kind: Kind, rows: Iterable[Mapping[str, Any]], held: str, why: str = "") -> None:
        with transaction(self._db):
            self._db.executemany(
                f"update {table_of(kind)} set held=?, why=? where id=? and revision=?",
                [(held, redact(why), row["id"], row["revision"]) for row in rows],
            )

    def failed(self, why: str) -> None:
        with transaction(self._db):
            self._db.execute(
                "update destinations set last_failure=?, failure=? where id=?",
                (time.time(), redact(why), self._destination),
            )

    def waiting(self) -> int:
        """How many rows wait, those of what still runs included."""
        return _total(self._db, f"{WAITING} and destination in ({UNDECIDED}, {self._destination})")


def table_of(kind: Kind) -> str:
    return "scores" if kind.endswith("scores") else kind


def waits(store: Path, destination: Destination) -> bool:
    """Whether anything waits to be shipped there; cheap enough to ask every second. Raises sqlite3.Error."""
    if not store.exists():
        return False
    with reading(store) as db:
        if version_of(db) < VERSION:
            return bool(db.execute("select 1 from spans limit 1").fetchone())
        which = f"{_bound_for(db, destination)} and {WAITING}"
        return any(db.execute(f"select 1 from {table} where {which} limit 1").fetchone() for table in TABLES)


def failing(store: Path, destination: Destination) -> bool:
    """Whether the last attempt to ship there failed. Raises sqlite3.Error."""
    with reading(store) as db:
        _, _, _, success, failure, _ = _shipping_to(db, destination)
        return failure > success


def status(store: Path, destination: Destination | None = None) -> Status:
    """The state of the backlog, for one Opik or for all. Raises sqlite3.Error when the file is none of ours."""
    if not store.exists():
        return Status(dropped=drops(store))
    with reading(store) as db:
        if not columns_of(db, "counts"):
            spans = int(db.execute("select count(*) from spans").fetchone()[0])
            return Status(stored=spans, waiting=spans, dropped=drops(store))
        counts = dict(db.execute("select name, n from counts").fetchall())
        stored, all_waiting = _total(db, "true"), _total(db, WAITING)
        waiting = _total(db, f"{WAITING} and {_bound_for(db, destination)}") if destination else all_waiting
        parked, left_out = _total(db, "held='parked'"), _total(db, "held='sampled'")
        *_, success, failure, why = _shipping_to(db, destination)
        return Status(
            stored=stored,
            waiting=waiting,
            elsewhere=all_waiting - waiting,
            shipped=stored - all_waiting - parked - left_out,
            parked=parked,
            left_out=left_out,
            **{name: counts.get(name, 0) for name in ("delivered", "evicted_shipped", "evicted_unshipped")},
            dropped=counts.get("dropped", 0) + drops(store),
            oldest_waiting=_oldest(db),
            last_success=success,
            last_failure=failure,
            failure=why,
        )


def backlogs(store: Path) -> list[Backlog]:
    """What waits, by the Opik that it waits for. Raises sqlite3.Error."""
    if not store.exists():
        return []
    with reading(store) as db:
        if version_of(db) < VERSION:
            return []
        named = {row[0]: row[1:] for row in db.execute("select id, url, workspace, project from destinations")}
        found = {number: _total(db, f"{WAITING} and destination={number}") for number in (UNDECIDED, *sorted(named))}
        return [_backlog_of(named.get(number, ("", "", "")), waiting) for number, waiting in found.items() if waiting]


def _backlog_of(named: Sequence[str], waiting: int) -> Backlog:
    url, workspace, project = named
    return Backlog(url, workspace, project, waiting)


def parked(store: Path) -> list[Parked]:
    """What Opik has refused, oldest first."""
    if not store.exists():
        return []
    with reading(store) as db:
        return list(_parked(db)) if columns_of(db, "counts") else []


def redirect(connection: sqlite3.Connection, destination: Destination) -> int:
    """Let all that waits for another Opik go there instead; how many rows."""
    number = destination.number(connection)
    with transaction(connection):
        return sum(
            connection.execute(
                f"update {table} set destination=? where destination<>? and {WAITING}", (number, number)
            ).rowcount
            for table in TABLES
        )


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


def _total(db: sqlite3.Connection, which: str) -> int:
    return sum(int(db.execute(f"select count(*) from {table} where {which}").fetchone()[0]) for table in TABLES)


def _oldest(db: sqlite3.Connection) -> float:
    oldest = [db.execute(f"select min(revision) from {table} where {WAITING}").fetchone()[0] for table in TABLES]
    return min((revision for revision in oldest if revision), default=0) / 1e9


def _bound_for(db: sqlite3.Connection, destination: Destination) -> str:
    """The condition of rows that go there, or have not been given a destination."""
    if version_of(db) < VERSION:
        return "true"
    return f"destination in ({UNDECIDED}, {destination.known_number(db) or UNDECIDED})"


def _shipping_to(db: sqlite3.Connection, destination: Destination | None) -> tuple[str, str, str, float, float, str]:
    """What is known of a destination, or of the one that was last shipped to; zeros and nothing for an unknown one."""
    rows: list[tuple[str, str, str, float, float, str]] = []
    if version_of(db) >= VERSION:
        query = "select url, workspace, project, last_success, last_failure, failure from destinations"
        rows = db.execute(f"{query} order by max(last_success, last_failure) desc").fetchall()
    wanted = [row for row in rows if destination is None or Destination(*row[:3]) == destination]
    return wanted[0] if wanted else ("", "", "", 0.0, 0.0, "")
