"""The calls that were made with an idempotency key and their answers, in a file or where all servers see them."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
import uuid
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from ..tools.errors import key_reused
from ..tools.runtime.jobs.alive import held, hold
from ..tools.storage.database import TIMEOUT_S
from ..tools.storage.errors import translated
from ..tools.storage.expiry import Expiry
from ..tools.storage.postgres import Opened
from ..tools.storage.store import Store

WHAT = "the table of keyed calls"
SCHEMA = """
create table if not exists calls(
  scope text not null, tool text not null, key text not null, arguments text not null, answer text,
  owner text not null, claim text not null, at double precision not null, primary key(scope, tool, key));
create index if not exists calls_at on calls(at);
"""
CLAIM = """
insert into calls values(?,?,?,?,null,?,?,?) on conflict(scope, tool, key) do update
set arguments=excluded.arguments, answer=null, owner=excluded.owner, claim=excluded.claim, at=excluded.at
"""
PRUNE_EVERY_S = 3600.0
# A younger lock file may belong to a server that has made it and not locked it yet.
YOUNG_S = 300.0


@dataclass(frozen=True)
class Call:
    """A call with a key. `arguments` is their digest; `claim` tells this call from others with the same key."""

    scope: str
    tool: str
    key: str
    arguments: str
    claim: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def name(self) -> tuple[str, str, str]:
        return self.scope, self.tool, self.key


class Kept(Protocol):
    """Where the table lies; statements take `?` for their values. Both raise StorageError."""

    def open(self) -> AbstractContextManager[Opened]: ...

    def writing(self, timeout_s: float | None = None) -> AbstractContextManager[Opened]:
        """One transaction that no other of this table can mix with."""
        ...


class Presence(Protocol):
    """Tells which servers live."""

    @property
    def name(self) -> str:
        """What others know this server by; it is theirs to look up from now on."""
        ...

    def lives(self, name: str) -> bool: ...

    def remove_dead(self) -> None: ...

    def close(self) -> None: ...


def store_of(home: Path, timeout_s: float = TIMEOUT_S) -> Store:
    return Store(home / "answers.db", SCHEMA, WHAT, upgrade=_upgrade, timeout_s=timeout_s)


class AnswerTable:
    """Shared by all servers of a state folder, or of a database; blocking. All methods raise StorageError.

    Args:
        of: the installation, where one table may have those of several.
    """

    def __init__(self, store: Kept, server: Presence, keep_days: float, of: str = "") -> None:
        self._store = store
        self._server = server
        self._of = of
        self._expiry = Expiry(keep_days)
        self._pruned = -PRUNE_EVERY_S

    @classmethod
    def of(cls, home: Path, keep_days: float, timeout_s: float = TIMEOUT_S) -> AnswerTable:
        """That of a state folder."""
        return cls(store_of(home, timeout_s), ServerLock(home / "servers"), keep_days)

    def claim(self, call: Call) -> str | bool:
        """The stored answer; True when the call is this one's to make, False while another server makes it.

        Raises:
            ToolFailure: the key was used with other arguments.
        """
        server = self._server.name
        self._prune_now_and_then()
        with self._store.writing() as db:
            query = "select arguments, answer, owner from calls where scope=? and tool=? and key=?"
            found = db.execute(query, self._name(call)).fetchone()
            if found is not None:
                arguments, answer, owner = found
                if arguments != call.arguments:
                    raise key_reused(call.key)
                if answer is not None:
                    return str(answer)
                if owner != server and self._server.lives(owner):
                    return False
            values = (*self._name(call), call.arguments, server, call.claim, time.time())
            db.execute(CLAIM, values)
            return True

    def keep(self, call: Call, answer: str, timeout_s: float | None = None) -> None:
        """Store the answer, also when the file was replaced meanwhile; an answer that is there already stays."""
        values = (*self._name(call), call.arguments, answer, self._server.name, call.claim, time.time())
        with self._store.writing(timeout_s) as db:
            db.execute(
                "insert into calls values(?,?,?,?,?,?,?,?) on conflict(scope, tool, key) "
                "do update set answer=excluded.answer, at=excluded.at where calls.answer is null",
                values,
            )

    def forget(self, call: Call, timeout_s: float | None = None) -> None:
        """Free the key of a call that failed."""
        with self._store.writing(timeout_s) as db:
            db.execute("delete from calls where claim=? and answer is null", (call.claim,))

    def renew(self) -> None:
        """Say that this server lives, should what says so have been lost."""
        _ = self._server.name

    def close(self) -> None:
        self._server.close()

    def _name(self, call: Call) -> tuple[str, str, str]:
        return f"{self._of}{call.scope}", call.tool, call.key

    def _prune_now_and_then(self) -> None:
        if time.monotonic() - self._pruned < PRUNE_EVERY_S:
            return
        self._pruned = time.monotonic()
        with self._store.writing() as db:
            newest = float(db.execute("select max(at) from calls").fetchone()[0] or 0)
            db.execute("delete from calls where at<?", (self._expiry.before(newest),))
        self._server.remove_dead()


class ServerLock:
    """Says that this server lives: it holds a lock on a file of its own, which nobody can inherit or fake by its id."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / f"{uuid.uuid4().hex}.lock"
        self._descriptor: int | None = None
        self._first = threading.Lock()

    @property
    def name(self) -> str:
        """What others know this server by; it is theirs to look up from now on."""
        with self._first, translated("the lock of this server", self._path):
            if self._descriptor is None:
                self._descriptor = hold(self._path)
        return self._path.stem

    def lives(self, name: str) -> bool:
        """Whether another server holds its lock."""
        return held(self._path.with_name(f"{name}.lock"))

    def remove_dead(self) -> None:
        """Delete the files of servers that were killed."""
        for path in self._path.parent.glob("*.lock"):
            if path == self._path:  # looking at the own one would end its lock
                continue
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > YOUNG_S and not held(path):
                    path.unlink()

    def close(self) -> None:
        with self._first:
            if self._descriptor is not None:
                self._path.unlink(missing_ok=True)
                os.close(self._descriptor)
                self._descriptor = None


def _upgrade(connection: sqlite3.Connection) -> None:
    """A file of an older version does not say whose its answers are, so nobody is given them."""
    tables = {row[0] for row in connection.execute("select name from sqlite_master where type='table'")}
    if "answers" in tables and "calls" not in tables:
        connection.executescript(f"begin immediate; {SCHEMA} drop table if exists answers; commit;")
