"""What agents and people have decided, why, and about which things: rows that stay as they were written."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel

from .errors import ToolFailure, unknown
from .handles import SHOWN, VERSIONED, parse, parse_model
from .paging import Position
from .slices import handle_kinds
from .storage.database import TIMEOUT_S
from .storage.store import Store

FILE = "decisions.db"
SCHEMA = """
create table if not exists decisions(
  id text primary key, at real not null, decided text not null, reason text not null, alternatives text not null,
  handles text not null, agent text not null, by text not null, trace text not null);
create index if not exists decisions_at on decisions(at, id);
create table if not exists about(handle text not null, id text not null, primary key(handle, id)) without rowid;
create index if not exists about_id on about(id);
"""
# The log is a few hundred bytes a decision; beyond that many the oldest go.
MOST = 100_000
FILE_PREFIX = "file:"


class Decision(BaseModel):
    """What was decided about `handles`, by the agent that names itself so, and by the caller whose token `by` is.

    `trace` is the trace in which it was decided.
    """

    decision: str
    decided: str
    reason: str
    alternatives: list[str] = []
    handles: list[str] = []
    agent: str | None = None
    by: str | None = None
    at: str
    trace: str | None = None


@dataclass(frozen=True)
class Entry:
    """A row of the log; the same said again by the same caller has the same id."""

    decided: str
    reason: str
    handles: tuple[str, ...]
    alternatives: tuple[str, ...] = ()
    agent: str = ""
    by: str = ""
    trace: str = ""
    at: float = 0.0

    @property
    def id(self) -> str:
        said = [self.decided, self.reason, sorted(self.handles), self.alternatives, self.agent, self.by]
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:32]

    @property
    def position(self) -> Position:
        return Position(self.at, self.id)

    def shown(self) -> Decision:
        at = datetime.fromtimestamp(self.at, UTC).isoformat(timespec="milliseconds")
        return Decision(
            decision=f"decision:{self.id}",
            decided=self.decided,
            reason=self.reason,
            alternatives=list(self.alternatives),
            handles=list(self.handles),
            agent=self.agent or None,
            by=self.by or None,
            at=at,
            trace=f"trace:{self.trace}" if self.trace else None,
        )


class Decisions:
    """The log of a state folder. All methods raise StorageError when its file cannot be used."""

    def __init__(self, home: Path, timeout_s: float = TIMEOUT_S) -> None:
        self._path = home / FILE
        self._store = Store(self._path, SCHEMA, "the decision log", timeout_s=timeout_s)

    def record(self, entry: Entry) -> tuple[Entry, bool]:
        """The entry as it is in the log, with its time, and whether it is new there."""
        with self._store.writing() as db:
            if held := read(db, "where id=?", (entry.id,)):
                return held[0], False
            kept = replace(entry, at=time.time())
            put(db, kept)
            _forget_oldest(db)
        return kept, True

    def listed(self, handles: Iterable[str], number: int, after: Position | None = None) -> list[Entry]:
        """The newest decisions about any of the things, or of all where none is named."""
        if not self._path.exists():
            return []
        which, values = _about(handles)
        place = "(at, id) < (?, ?)" if after else "true"
        values += [after.at, after.id] if after else []
        with self._store.open() as db:
            return read(db, f"where {which} and {place} order by at desc, id desc limit ?", [*values, number])

    def count(self, handles: Iterable[str]) -> int:
        if not self._path.exists():
            return 0
        which, values = _about(handles)
        with self._store.open() as db:
            return int(db.execute(f"select count(*) from decisions where {which}", values).fetchone()[0])

    def get(self, identity: str) -> Entry | None:
        if not self._path.exists():
            return None
        with self._store.open() as db:
            return next(iter(read(db, "where id=?", (identity,))), None)

    def remove(self, identity: str) -> bool:
        """Whether it was there."""
        with self._store.writing() as db:
            return drop(db, identity)


def normal(text: str) -> str:
    """A handle in the one form in which decisions are kept and looked for; `file:<path>` is one as well.

    Raises:
        ToolFailure: it is no handle.
    """
    kind, colon, name = text.strip().partition(":")
    if kind == "model" or (kind == "models" and not name.startswith("/m-")):
        return _fixed(str(parse_model(text)))
    if kind == "models" or (colon and kind + colon == FILE_PREFIX and name):
        return text.strip()
    if not colon or kind not in handle_kinds():
        raise unknown(
            "kind of handle", text[:SHOWN], (f"{each}:" for each in handle_kinds()), "Pass kind:name in full."
        )
    if kind == "decision":
        raise ToolFailure("a decision is about things, not about a decision", "Pass their handles.")
    return str(parse(text, kind))


def _fixed(model: str) -> str:
    if "@" in model:
        raise ToolFailure(f"{model[:SHOWN]!r} is an alias, which moves", "Pass the version: model:<name>/<version>.")
    return model


def _about(handles: Iterable[str]) -> tuple[str, list[object]]:
    """The condition that a decision is about one of the things.

    A version also has what was said of its name, and a name what was said of its versions.
    """
    given = list(dict.fromkeys(handles))
    if not given:
        return "true", []
    exact = list(dict.fromkeys(name for handle in given for name in (handle, _bare(handle))))
    ranges = [
        (f"{name}{mark}", f"{name}{chr(ord(mark) + 1)}") for name in given if name == _bare(name) for mark in "/@"
    ]
    places = [f"handle in ({', '.join('?' * len(exact))})", *("(handle >= ? and handle < ?)" for _ in ranges)]
    return f"id in (select id from about where {' or '.join(places)})", [
        *exact,
        *(end for each in ranges for end in each),
    ]


def _bare(handle: str) -> str:
    """Without its version, where the kind has versions."""
    kind, _, _ = handle.partition(":")
    return handle.partition("/" if kind == "model" else "@")[0] if kind in VERSIONED else handle


def _row(entry: Entry) -> tuple[object, ...]:
    lists = (json.dumps(entry.alternatives), json.dumps(entry.handles))
    return (entry.id, entry.at, entry.decided, entry.reason, *lists, entry.agent, entry.by, entry.trace)


def put(db: sqlite3.Connection, entry: Entry) -> None:
    """Write an entry that is not there."""
    db.execute("insert into decisions values(?,?,?,?,?,?,?,?,?)", _row(entry))
    db.executemany("insert or ignore into about values(?,?)", [(each, entry.id) for each in entry.handles])


def drop(db: sqlite3.Connection, identity: str) -> bool:
    """Whether it was there."""
    db.execute("delete from about where id=?", (identity,))
    return db.execute("delete from decisions where id=?", (identity,)).rowcount > 0


def read(db: sqlite3.Connection, where: str, values: Sequence[object]) -> list[Entry]:
    columns = "at, decided, reason, alternatives, handles, agent, by, trace"
    found = db.execute(f"select {columns} from decisions {where}", values)
    return [
        Entry(decided, reason, tuple(json.loads(handles)), tuple(json.loads(alternatives)), agent, by, trace, at)
        for at, decided, reason, alternatives, handles, agent, by, trace in found
    ]


def _forget_oldest(db: sqlite3.Connection) -> None:
    over = int(db.execute("select count(*) from decisions").fetchone()[0]) - MOST
    if over > 0:
        gone = "select id from decisions order by at, id limit ?"
        db.execute(f"delete from about where id in ({gone})", (over,))
        db.execute(f"delete from decisions where id in ({gone})", (over,))
