"""The keyed calls of several servers that share no disk, in their database."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

from ..config.settings import Settings
from ..tools.errors import require
from ..tools.replica.steps import installation, is_shared
from ..tools.storage.postgres import Named, Opened, Postgres, makes
from .answer_table import SCHEMA, WHAT, AnswerTable

if TYPE_CHECKING:
    from psycopg import Connection

NAMED = Named(WHAT, "storage.database")


def table_of(settings: Settings) -> AnswerTable:
    """The table of an installation; what is missing for it is the failure of the first call with a key."""
    if not is_shared(settings):
        return AnswerTable.of(settings.home, settings.runtime.keep_days)
    of = installation(settings)
    address, prepare = settings.storage.database.get_secret_value(), makes(SCHEMA, "calls", "calls_at")
    database = Postgres(address, NAMED, prepare, _number(of))
    return AnswerTable(SharedTable(database), HeldLock(database), settings.runtime.keep_days, of)


class SharedTable:
    """Where the table lies, as a file would offer it; a database has its own time-outs."""

    def __init__(self, database: Postgres) -> None:
        self._database = database

    def open(self) -> AbstractContextManager[Opened]:
        require("psycopg")
        return self._database.open()

    @contextmanager
    def writing(self, timeout_s: float | None = None) -> Generator[Opened]:
        require("psycopg")
        with self._database.alone() as db:
            yield db


class HeldLock:
    """Says that this server lives: a connection of it holds a lock, which ends with the process wherever that ran."""

    def __init__(self, database: Postgres) -> None:
        self._database = database
        self._name = uuid.uuid4().hex
        self._connection: Connection | None = None
        self._first = threading.Lock()

    @property
    def name(self) -> str:
        require("psycopg")
        with self._first:
            self._connection = self._database.held(_number(self._name), self._connection)
        return self._name

    def lives(self, name: str) -> bool:
        """Whether nobody can take its lock."""
        with self._database.open() as db:
            (free,) = db.execute("select pg_try_advisory_lock(?)", (_number(name),)).fetchone()
            if free:
                db.execute("select pg_advisory_unlock(?)", (_number(name),))
        return not free

    def remove_dead(self) -> None:
        """Their locks are gone with them."""

    def close(self) -> None:
        with self._first:
            if self._connection is not None:
                self._connection.close()
                self._connection = None
        self._database.close()


def _number(name: str) -> int:
    return int(name[:15], 16)
