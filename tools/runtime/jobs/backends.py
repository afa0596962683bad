"""Where the job table lies: an SQLite file below the state folder, or PostgreSQL for several machines."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ...errors import require
from ...storage.database import TIMEOUT_S, transaction
from ...storage.postgres import LOCK, SCHEMA, Named, Opened, Postgres, make_schema
from ...storage.store import Store

if TYPE_CHECKING:
    from psycopg import Connection as PostgresConnection

COLUMNS = {
    "id": "text primary key", "tool": "text not null", "function": "text not null", "request": "text not null",
    "state": "text not null", "attempt": "integer not null", "attempts": "integer not null",
    "pid": "integer not null default 0", "progress": "text", "result": "text", "error": "text",
    "trace_id": "text not null", "span_id": "text not null", "idempotency": "text unique",
    "settings": "text not null", "folder": "text not null", "created": "double precision not null",
    "claimed": "double precision not null default 0", "ended": "double precision not null default 0",
    # added after 0.1.0: an older file gets them when it is opened
    "budget": "text not null default '{}'", "home": "text not null default ''", "place": "text not null default ''",
    "lease": "double precision not null default 0", "partial": "text", "asks": "text", "answers": "text",
    "fault": "text", "cleanup": "text", "toolset": "text not null default ''",
    "short": "integer not null default 0", "scope": "text not null default ''", "call": "text",
    "told": "integer not null default 0", "owner": "text not null default ''",
}  # fmt: skip
TABLE = f"create table if not exists jobs({', '.join(f'{name} {kind}' for name, kind in COLUMNS.items())});"
INDEXED = {
    "jobs_state": "state, created", "jobs_ended": "ended", "jobs_call": "call",
    # added after 0.1.0, as above
    "jobs_created": "created, id", "jobs_owner": "owner, created, id",
}  # fmt: skip
INDEXES = "".join(f"create index if not exists {name} on jobs({columns});" for name, columns in INDEXED.items())
PARTS = COLUMNS.keys() | INDEXED.keys()
NAMED = Named("the job table", "runtime.job_store", "Tools that need no job work on.")
KNOWN = (
    f"select column_name from information_schema.columns where table_name='jobs' and table_schema='{SCHEMA}' "
    f"union select indexname from pg_indexes where tablename='jobs' and schemaname='{SCHEMA}'"
)
# Where versions before this schema have put the table: its columns tell it from that of others.
OLDER = (
    "select table_schema from information_schema.columns where table_name='jobs' "
    "and table_schema in (current_user, 'public') and column_name in ('tool', 'function', 'request', 'idempotency') "
    "group by table_schema having count(*)=4 order by table_schema='public'"
)


class Backend(Protocol):
    """`shared` tells whether other machines may see the table, `name` is what an error calls it.

    `clock` is the SQL for the seconds since the epoch, by the one clock that all users of the table share.
    """

    name: str
    shared: bool
    clock: str

    @contextmanager
    def open(self) -> Generator[Opened]:
        """A connection that commits every statement. Raises Unavailable."""
        ...

    @contextmanager
    def alone(self) -> Generator[Opened]:
        """One transaction that nobody else's can mix with. Raises Unavailable."""
        ...


class SqliteBackend:
    """One file; its only users are processes of this machine."""

    shared = False
    clock = "(julianday('now')-2440587.5)*86400.0"

    def __init__(self, path: Path, timeout_s: float = TIMEOUT_S) -> None:
        self.name = str(path)
        self._store = Store(
            path,
            TABLE + INDEXES,
            "the job table",
            upgrade=_add_what_is_missing,
            then="Tools that need no job work on.",
            timeout_s=timeout_s,
        )

    @contextmanager
    def open(self) -> Generator[Opened]:
        with self._store.open() as connection:
            yield connection

    @contextmanager
    def alone(self) -> Generator[Opened]:
        with self._store.writing() as connection:
            yield connection


def _add_what_is_missing(connection: sqlite3.Connection) -> None:
    known = _parts(connection)
    if known.isdisjoint(COLUMNS) or known >= PARTS:
        return
    with transaction(connection):
        known = _parts(connection)
        for name in [name for name in COLUMNS if name not in known]:
            connection.execute(f"alter table jobs add column {name} {COLUMNS[name]}")
        for name in [name for name in INDEXED if name not in known]:
            connection.execute(f"create index {name} on jobs({INDEXED[name]})")


def _parts(connection: sqlite3.Connection) -> set[str]:
    """The names of the columns and indexes that the table has."""
    kinds = ("table_info", "index_list")
    return {str(row[1]) for kind in kinds for row in connection.execute(f"pragma {kind}(jobs)")}


class PostgresBackend(Postgres):
    """A database that several machines share."""

    shared = True
    clock = "extract(epoch from clock_timestamp())"

    def __init__(self, url: str) -> None:
        super().__init__(url, NAMED, _prepare)


def _prepare(connection: PostgresConnection) -> None:
    # Asked first: changing a table, even by nothing, waits for everybody who reads it.
    found = {str(row[0]) for row in connection.execute(KNOWN.encode())}
    if found >= PARTS:
        return
    with connection.transaction():
        connection.execute("select pg_advisory_xact_lock(%s)", (LOCK,))
        make_schema(connection)
        _take_older(connection)
        connection.execute(TABLE.encode())
        for name, kind in COLUMNS.items():
            connection.execute(f"alter table jobs add column if not exists {name} {kind}".encode())
        connection.execute(INDEXES.encode())


def _take_older(connection: PostgresConnection) -> None:
    """Take the table of an older version into our schema."""
    is_there = connection.execute("select to_regclass(%s)", (f"{SCHEMA}.jobs",)).fetchone() != (None,)
    if not is_there and (older := connection.execute(OLDER.encode()).fetchone()):
        quoted = str(older[0]).replace('"', '""')
        connection.execute(f'alter table "{quoted}".jobs set schema {SCHEMA}'.encode())


def backend_of(url: str, file: Path) -> Backend:
    """The configured database, or the file.

    Raises:
        NotInstalled: the driver of the database is missing.
    """
    if not url:
        return SqliteBackend(file)
    require("psycopg")
    return PostgresBackend(url)
