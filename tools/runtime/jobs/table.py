"""The job table: one row per job, shared by every server and job process of a state folder or of a database."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ...paging import Position
from ...storage.postgres import Opened
from ...tracing.ids import uuid7
from ..identity import Identity
from ..models import Budget, Fault, State
from .backends import Backend
from .shares import AHEAD, Quota, Slots, Taken, next_of, require_room, taken

LEASE_S = 10.0
# Whoever was told of a job, as a task or by its handle, may ask for its result at least this long.
FRESH_S = 24 * 3600.0
PRUNE = (
    "delete from jobs where ended>0 and idempotency is null and (ended<? or (ended<? and id not in "
    "(select id from jobs where ended>0 order by ended desc limit ?))) returning id"
)

# The job of the same call that its caller may not know of. One that was cancelled on purpose is known.
SAME = (
    "select * from jobs where call=? and scope=? and (state in ('queued','running') or (told=0 and ended>? and "
    "(state<>'cancelled' or fault='budget'))) order by created desc, id desc limit 1"
)

ATTEMPT = "id=? and attempt=? and state='running'"
EVERYBODY = Identity()
UNLIMITED = Quota()


@dataclass(frozen=True)
class NewJob:
    """What is known of a job before it is queued.

    `scope` is its caller's digest, `call` that of all that is asked for; None for one that no other call may join.
    `owner` is the name of its caller's token; empty where there are none.
    """

    tool: str
    toolset: str
    function: str
    request: str
    attempts: int
    trace_id: str
    span_id: str
    idempotency: str | None
    settings: str
    folder: str
    home: str
    budget: str
    short: int = 0
    scope: str = ""
    call: str | None = None
    owner: str = ""


@dataclass(frozen=True)
class JobRow:
    """One job as stored. Times are seconds since the epoch, 0 where they did not happen yet.

    `settings` and `folder` (working directory) are the submitter's: whoever starts the job, it runs as submitted.
    `home` names the state folder that its data lies in, `place` the machine whose process `pid` keeps it.
    `partial` is the best result so far, `asks` are open questions by key and `answers` what came for them, `cleanup`
    is what has to be done should the job not end by itself; all four are JSON. `told` says that its end has
    reached its caller; `joined`, which is not stored, that the row was there when its call was made.
    """

    id: str
    tool: str
    toolset: str
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
    budget: str
    home: str
    place: str
    lease: float
    partial: str | None
    asks: str | None
    answers: str | None
    fault: Fault | None
    cleanup: str | None
    short: int
    scope: str
    call: str | None
    told: int
    owner: str = ""
    joined: bool = False

    @property
    def seconds(self) -> float:
        return (self.ended or time.time()) - self.created

    @property
    def position(self) -> Position:
        return Position(self.created, self.id)

    @property
    def limits(self) -> Budget:
        return Budget.model_validate_json(self.budget)


@dataclass(frozen=True)
class End:
    """The outcome of an attempt; `crash` (type, message, traceback) is for the trace, not for the row."""

    state: State
    result: str | None = None
    error: str | None = None
    fault: Fault | None = None
    crash: dict[str, str] = field(default_factory=dict[str, str])


class JobTable:
    """Every change is one transaction, so any number of processes may work on the table.

    All methods raise Unavailable when the table cannot be used.

    Args:
        ended: is told of every job that has come to its end, once, by whoever ended it.
    """

    def __init__(self, backend: Backend, ended: Callable[[JobRow], object] = lambda _row: None) -> None:
        self.backend = backend
        self._ended = ended

    def insert(self, new: NewJob, rejoin_s: float = 0.0, quota: Quota = UNLIMITED) -> JobRow:
        """Queue a job, or find the one of the same call.

        With an idempotency key that is the job which was started with it, unless that one failed. Without, it is one
        of the same caller that has not ended, or that ended within `rejoin_s` and nobody was told of.

        Args:
            quota: what its owner may have, if it has a name.

        Raises:
            ToolFailure: it has all of that.
        """
        with self.backend.alone() as db:
            if new.idempotency:
                db.execute(
                    "update jobs set idempotency=null where idempotency=? and state in ('failed','lost','cancelled')",
                    (new.idempotency,),
                )
                if row := _one(db, "select * from jobs where idempotency=?", new.idempotency):
                    return row
            elif new.call and (row := _one(db, SAME, new.call, new.scope, time.time() - rejoin_s)):
                return replace(row, joined=True)
            require_room(db, new.owner, quota)
            values = {"id": _identity(), "state": "queued", "attempt": 0, "created": time.time(), **vars(new)}
            marks = ",".join("?" * len(values))
            row = _one(db, f"insert into jobs({','.join(values)}) values({marks}) returning *", *values.values())
        assert row is not None
        return row

    def get(self, identity: str) -> JobRow:
        """The row of a job. Raises KeyError for an unknown one."""
        if not identity.isascii() or not identity.isalnum():  # no database need be asked
            raise KeyError(identity)
        with self.backend.open() as db:
            row = _one(db, "select * from jobs where id=?", identity)
        if row is None:
            raise KeyError(identity)
        return row

    def claim(self, home: str, place: str, slots: Slots, among: Collection[str] | None = None) -> JobRow | None:
        """Take the queued job of a state folder, or of some of its jobs, whose turn it is and that has a slot here.

        Long work takes `slots.long` at most; what is expected to be short also runs beside it. Who has fewer running
        comes first, the oldest of each.
        """
        query, values = next_of(home, place, slots, among)
        with self.backend.alone() as db:
            return _one(
                db,
                f"update jobs set state='running', attempt=attempt+1, pid=0, claimed=?, place=?, "
                f"lease={self.backend.clock}+{LEASE_S}, progress=null, asks=null, answers=null, cleanup=null, "
                f"error=null, fault=null where id=({query}) returning *",
                time.time(), place, *values,
            )  # fmt: skip

    def tell(self, identity: str, scope: str) -> bool:
        """Note that the end of a job reaches its caller; False when that is another one, or knows already."""
        return self._update("told=1", "id=? and scope=? and told=0", identity, scope)

    def started(self, identity: str, attempt: int, pid: int) -> bool:
        """Note the process of an attempt; False when the attempt is no longer wanted."""
        return self._change("pid=?", identity, attempt, pid)

    def renew(self, identity: str, attempt: int) -> bool:
        """Say that the attempt is alive; False when it is no longer wanted."""
        return self._change(f"lease={self.backend.clock}+{LEASE_S}", identity, attempt)

    def note(self, identity: str, attempt: int, column: str, text: str | None) -> bool:
        """Write the progress, partial result, questions, answers or clean-up of a running attempt."""
        assert column in ("progress", "partial", "asks", "answers", "cleanup")
        return self._change(f"{column}=?", identity, attempt, text)

    def answer(self, identity: str, given: Mapping[str, Any]) -> None:
        """Answer open questions of a running job by their key; it goes on when none is left."""
        with self.backend.alone() as db:
            row = _one(db, "select * from jobs where id=? and state='running' and asks is not null", identity)
            if row is None:
                return
            open_: dict[str, Any] = json.loads(row.asks or "{}")
            answers = json.loads(row.answers or "{}") | {key: value for key, value in given.items() if key in open_}
            left = {key: question for key, question in open_.items() if key not in answers}
            db.execute(
                "update jobs set asks=?, answers=? where id=?",
                (json.dumps(left) if left else None, json.dumps(answers), identity),
            )

    def finish(self, identity: str, attempt: int, end: End) -> bool:
        """Write the outcome of an attempt, unless another outcome came first."""
        return self._end(
            "state=?, result=?, error=?, fault=?, ended=?, asks=null", ATTEMPT,
            end.state, end.result, _storable(end.error), end.fault, time.time(), identity, attempt,
        )  # fmt: skip

    def cancel(self, identity: str) -> bool:
        """Mark a queued or running job cancelled; False when it had ended."""
        return self._end(
            "state='cancelled', ended=?, asks=null", "id=? and state in ('queued','running')", time.time(), identity
        )

    def lose(self, identity: str, attempt: int, error: str) -> bool:
        """Queue an attempt whose process died again, or give it up as lost after the last one."""
        return self._end(
            "state=case when attempt<attempts then 'queued' else 'lost' end, error=?, fault='died', asks=null, "
            "ended=case when attempt<attempts then 0 else ? end",
            ATTEMPT,
            _storable(error), time.time(), identity, attempt,
        )  # fmt: skip

    def running(self) -> list[JobRow]:
        return self._all("select * from jobs where state='running' order by claimed, id")

    def unfinished(self) -> list[JobRow]:
        return self._all("select * from jobs where state in ('queued','running') order by created, id")

    def remove(self, identity: str) -> bool:
        """Delete the row of a job that has ended; False when there is none."""
        with self.backend.open() as db:
            return bool(db.execute("delete from jobs where id=? and ended>0", (identity,)).rowcount == 1)

    def ahead(self, row: JobRow) -> int:
        """How many queued jobs of the same state folder come before one; short ones may take the slot of a long one."""
        with self.backend.open() as db:
            return int(db.execute(AHEAD, (row.home, row.id)).fetchone()[0])

    def take_cleanup(self, identity: str, attempt: int) -> str | None:
        """What has to be done after an attempt, for the first who asks."""
        with self.backend.alone() as db:
            query = "select cleanup from jobs where id=? and attempt=?"
            found = db.execute(query, (identity, attempt)).fetchone()
            db.execute("update jobs set cleanup=null where id=? and attempt=?", (identity, attempt))
        return str(found[0]) if found and found[0] else None

    def recent(
        self, limit: int, after: Position | None = None, state: str = "", by: Identity = EVERYBODY
    ) -> list[JobRow]:
        """Newest jobs first, of those that somebody may see, beginning behind a position."""
        where, values = _seen(state, by)
        if after is not None:
            where += " and created<=? and (created<? or id<?)"
            values += [after.at, after.at, after.id]
        return self._all(f"select * from jobs where {where} order by created desc, id desc limit ?", *values, limit)

    def count(self, state: str = "", by: Identity = EVERYBODY) -> int:
        with self.backend.open() as db:
            where, values = _seen(state, by)
            return int(db.execute(f"select count(*) from jobs where {where}", values).fetchone()[0])

    def states(self) -> dict[str, int]:
        """How many jobs there are in each state, whoever owns them."""
        with self.backend.open() as db:
            rows = db.execute("select state, count(*) from jobs group by state").fetchall()
        return {str(state): int(number) for state, number in rows}

    def taken(self, owner: str) -> Taken:
        """What a token has of its quota."""
        with self.backend.open() as db:
            return taken(db, owner)

    def ended_since(self, moment: float) -> list[JobRow]:
        """Those that ended after a moment, the first to end first."""
        return self._all("select * from jobs where ended>? order by ended, id", moment)

    def newest(self) -> float:
        """When the job that ended last did; 0 if none has."""
        with self.backend.open() as db:
            return float(db.execute("select max(ended) from jobs where ended>0").fetchone()[0] or 0)

    def prune(self, before: float, keep: int, now: float | None = None) -> list[str]:
        """Delete ended jobs from before a time, and all but the newest `keep`; the ids of those deleted.

        A job of the last day, or that an idempotency key refers to which is not too old itself, is never deleted.

        Args:
            now: the time, where the wall clock is not to be trusted.
        """
        fresh = (time.time() if now is None else now) - FRESH_S
        with self.backend.alone() as db:
            db.execute("update jobs set idempotency=null where ended>0 and ended<?", (before,))
            return [str(row[0]) for row in db.execute(PRUNE, (before, fresh, keep)).fetchall()]

    def _change(self, what: str, identity: str, attempt: int, *values: Any) -> bool:
        return self._update(what, ATTEMPT, *values, identity, attempt)

    def _end(self, what: str, where: str, *values: Any) -> bool:
        """A change that may be the end of a job."""
        with self.backend.open() as db:
            row = _one(db, f"update jobs set {what} where {where} returning *", *values)
        if row is not None and row.ended:
            self._ended(row)
        return row is not None

    def _update(self, what: str, where: str, *values: Any) -> bool:
        with self.backend.open() as db:
            return bool(db.execute(f"update jobs set {what} where {where}", values).rowcount == 1)

    def _all(self, query: str, *values: Any) -> list[JobRow]:
        with self.backend.open() as db:
            return _rows(db.execute(query, values))


def _seen(state: str, by: Identity) -> tuple[str, list[Any]]:
    """The jobs in a state, or in any, that somebody may see: nothing is asked that would keep an index from use."""
    wanted = [("state=?", state)] * bool(state) + [("owner=?", by.name)] * (by.access != "admin")
    return " and ".join(text for text, _ in wanted) or "true", [value for _, value in wanted]


def _identity() -> str:
    return uuid7().replace("-", "")[:20]


def _one(db: Opened, query: str, *values: Any) -> JobRow | None:
    rows = _rows(db.execute(query, values))
    return rows[0] if rows else None


def _rows(cursor: Any) -> list[JobRow]:
    """By name: a table that was extended later has its columns in another order, or some that are not known here."""
    names = [column[0] for column in cursor.description]
    found = (zip(names, row, strict=True) for row in cursor.fetchall())
    return [JobRow(**{name: value for name, value in row if name in JobRow.__dataclass_fields__}) for row in found]


def _storable(text: str | None) -> str | None:
    """PostgreSQL takes no NUL, neither takes lone surrogates; what a library says may hold both."""
    return None if text is None else text.replace("\0", "").encode("utf-8", "replace").decode()
