"""The job table: one SQLite row per job, shared by every server and job process of a state folder."""

from __future__ import annotations

import sqlite3
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from ..database import database, transaction
from ..tracing.ids import uuid7
from .models import State

SCHEMA = """
create table if not exists jobs(
  id text primary key, tool text not null, function text not null, request text not null, state text not null,
  attempt integer not null, attempts integer not null, pid integer not null, progress text, result text, error text,
  trace_id text not null, span_id text not null, idempotency text unique, settings text not null, folder text not null,
  created real not null, claimed real not null, ended real not null);
create index if not exists jobs_state on jobs(state, created);
"""


@dataclass(frozen=True)
class NewJob:
    """What is known of a job before it is queued."""

    tool: str
    function: str
    request: str
    attempts: int
    trace_id: str
    span_id: str
    idempotency: str | None
    settings: str
    folder: str


@dataclass(frozen=True)
class Row:
    """One job as stored. Times are seconds since the epoch, 0 where they did not happen yet.

    `settings` and `folder` (working directory) are the submitter's: whoever starts the job, it runs as submitted.
    """

    id: str
    tool: str
    function: str
    request: str
    state: State
    attempt: int
    attempts: int
    pid: int
    progress: str | None
    result: str | None
    error: str | None
    trace_id: str
    span_id: str
    idempotency: str | None
    settings: str
    folder: str
    created: float
    claimed: float
    ended: float

    @property
    def seconds(self) -> float:
        return (self.ended or time.time()) - self.created


class JobTable:
    """Every change is one transaction, so any number of processes may work on the table."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def insert(self, new: NewJob) -> Row:
        """Queue a job; with an idempotency key that was used before, the job it started unless that one failed."""
        identity = uuid7().replace("-", "")[:20]
        with self._open() as db, transaction(db):
            if new.idempotency:
                db.execute(
                    "update jobs set idempotency=null where idempotency=? and state in ('failed','lost','cancelled')",
                    (new.idempotency,),
                )
                if row := _one(db, "select * from jobs where idempotency=?", new.idempotency):
                    return row
            db.execute(
                "insert into jobs values(?,?,?,?,'queued',0,?,0,null,null,null,?,?,?,?,?,?,0,0)",
                (
                    identity, new.tool, new.function, new.request, new.attempts, new.trace_id, new.span_id,
                    new.idempotency, new.settings, new.folder, time.time(),
                ),
            )  # fmt: skip
        return self.get(identity)

    def get(self, identity: str) -> Row:
        """The row of a job. Raises KeyError for an unknown one."""
        with self._open() as db:
            row = _one(db, "select * from jobs where id=?", identity)
        if row is None:
            raise KeyError(identity)
        return row

    def claim(self, slots: int) -> Row | None:
        """Take the oldest queued job if fewer than `slots` run."""
        with self._open() as db, transaction(db):
            return _one(
                db,
                "update jobs set state='running', attempt=attempt+1, pid=0, claimed=? where id=("
                "select id from jobs where state='queued' and (select count(*) from jobs where state='running') < ? "
                "order by created, id limit 1) returning *",
                time.time(),
                slots,
            )

    def started(self, identity: str, attempt: int, pid: int) -> bool:
        """Note the process of an attempt; False when the attempt is no longer wanted."""
        return self._change("pid=?", identity, attempt, pid)

    def report(self, identity: str, attempt: int, progress: str) -> bool:
        return self._change("progress=?", identity, attempt, progress)

    def finish(self, identity: str, attempt: int, state: State, result: str | None, error: str | None) -> bool:
        """Write the outcome of an attempt, unless another outcome came first."""
        return self._change("state=?, result=?, error=?, ended=?", identity, attempt, state, result, error, time.time())

    def cancel(self, identity: str) -> bool:
        """Mark a queued or running job cancelled; False when it had ended."""
        return self._update(
            "state='cancelled', ended=?", "id=? and state in ('queued','running')", time.time(), identity
        )

    def lose(self, identity: str, attempt: int, error: str) -> None:
        """Queue an attempt whose process died again, or give it up as lost after the last one."""
        self._update(
            "state=case when attempt<attempts then 'queued' else 'lost' end, error=?, "
            "ended=case when attempt<attempts then 0 else ? end",
            "id=? and attempt=? and state='running'",
            error,
            time.time(),
            identity,
            attempt,
        )

    def running(self) -> list[Row]:
        return self._all("select * from jobs where state='running'")

    def recent(self, limit: int, offset: int, state: str = "") -> list[Row]:
        return self._all(
            "select * from jobs where ?='' or state=? order by created desc limit ? offset ?",
            state,
            state,
            limit,
            offset,
        )

    def count(self, state: str = "") -> int:
        with self._open() as db:
            return int(db.execute("select count(*) from jobs where ?='' or state=?", (state, state)).fetchone()[0])

    def _change(self, what: str, identity: str, attempt: int, *values: Any) -> bool:
        return self._update(what, "id=? and attempt=? and state='running'", *values, identity, attempt)

    def _update(self, what: str, where: str, *values: Any) -> bool:
        with self._open() as db:
            return db.execute(f"update jobs set {what} where {where}", values).rowcount == 1

    def _all(self, query: str, *values: Any) -> list[Row]:
        with self._open() as db:
            return [Row(*row) for row in db.execute(query, values)]

    def _open(self) -> AbstractContextManager[sqlite3.Connection]:
        return database(self.path, SCHEMA)


def _one(db: sqlite3.Connection, query: str, *values: Any) -> Row | None:
    row = db.execute(query, values).fetchone()
    return Row(*cast(tuple[Any, ...], row)) if row else None
