"""Where the job table lies: an SQLite file below the state folder, or PostgreSQL for several machines."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from ...errors import Unavailable, require
from ...storage.database import TIMEOUT_S, transaction
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
# A schema of its own: MLflow has a table `jobs` as well, and both may be given one database.
SCHEMA = "mlops_mcp"
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
# A peer that is gone, or a statement that gets nowhere, is an error soon.
LIMITS: Mapping[str, Any] = MappingProxyType(
    {
        "options": f"-c lock_timeout=8s -c statement_timeout=15s -c search_path={SCHEMA}",
        "tcp_user_timeout": 8000,
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 2,
    }
)
# Any fixed number: whoever changes the table takes this lock first.
LOCK = 0x6D6C6F7073


class Opened(Protocol):
    """One open connection; statements take `?` for their values."""

    def execute(self, statement: str, values: Sequence[Any] = (), /) -> Any: ...


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


class PostgresBackend:
    """A database that several machines share. Connections are kept, since opening one takes milliseconds."""

    shared = True
    clock = "extract(epoch from clock_timestamp())"

    def __init__(self, url: str) -> None:
        self._url = url
        # Without user, password and options, and without the parsing that trips over odd ones.
        self.name = f"at {url.partition('://')[2].rpartition('@')[2].partition('?')[0]}"
        self._idle: list[PostgresConnection] = []
        self._lock = threading.Lock()
        self._ready = False

    @contextmanager
    def open(self) -> Generator[Opened]:
        import psycopg

        try:
            connection = self._take()
            try:
                yield _Placeholders(connection)
            except BaseException:
                connection.close()
                raise
            with self._lock:
                self._idle.append(connection)
        except psycopg.ProgrammingError as error:
            raise Unavailable(
                f"the job table {self.name} cannot be used: {_reason(error)}",
                f"Check runtime.job_store; its user needs the schema {SCHEMA}, or the right to create it.",
            ) from error
        except psycopg.Error as error:
            raise Unavailable(
                f"the job table {self.name} does not answer: {str(error).strip()[:300]}",
                "Check runtime.job_store. Tools that need no job work on.",
            ) from error

    @contextmanager
    def alone(self) -> Generator[Opened]:
        with self.open() as connection:
            connection.execute("begin")
            connection.execute("select pg_advisory_xact_lock(?)", (LOCK,))
            yield connection
            connection.execute("commit")

    def _take(self) -> PostgresConnection:
        import psycopg

        with self._lock:
            while self._idle:
                connection = self._idle.pop()
                if _answers(connection):
                    return connection
                connection.close()
        connection = psycopg.connect(self._url, autocommit=True, connect_timeout=2, **LIMITS)
        self._prepare(connection)
        return connection

    def _prepare(self, connection: PostgresConnection) -> None:
        if self._ready:
            return
        # Asked first: changing a table, even by nothing, waits for everybody who reads it.
        found = {str(row[0]) for row in connection.execute(KNOWN.encode())}
        if found >= PARTS:
            self._ready = True
            return
        with connection.transaction():
            connection.execute("select pg_advisory_xact_lock(%s)", (LOCK,))
            _make_schema(connection)
            connection.execute(TABLE.encode())
            for name, kind in COLUMNS.items():
                connection.execute(f"alter table jobs add column if not exists {name} {kind}".encode())
            connection.execute(INDEXES.encode())
        self._ready = True


def _make_schema(connection: PostgresConnection) -> None:
    """Make the schema, unless somebody with more rights has, and take the table of an older version into it."""
    if connection.execute("select to_regnamespace(%s)", (SCHEMA,)).fetchone() == (None,):
        connection.execute(f"create schema {SCHEMA}".encode())
    is_there = connection.execute("select to_regclass(%s)", (f"{SCHEMA}.jobs",)).fetchone() != (None,)
    if not is_there and (older := connection.execute(OLDER.encode()).fetchone()):
        quoted = str(older[0]).replace('"', '""')
        connection.execute(f'alter table "{quoted}".jobs set schema {SCHEMA}'.encode())


def _answers(connection: PostgresConnection) -> bool:
    """Whether the server of a connection is still there: one that was restarted is found again."""
    import psycopg

    try:
        connection.execute(b"select 1")
    except psycopg.Error:
        return False
    return True


def _reason(error: Exception) -> str:
    """What the server refused; an address that cannot be read is not repeated, since it holds the password."""
    return str(error).strip()[:300] if getattr(error, "sqlstate", None) else "its address cannot be read"


class _Placeholders:
    """Takes the statements as SQLite knows them."""

    def __init__(self, connection: PostgresConnection) -> None:
        self._connection = connection

    def execute(self, statement: str, values: Sequence[Any] = (), /) -> Any:
        return self._connection.execute(statement.replace("?", "%s").encode(), values)


def backend_of(url: str, file: Path) -> Backend:
    """The configured database, or the file.

    Raises:
        NotInstalled: the driver of the database is missing.
    """
    if not url:
        return SqliteBackend(file)
    require("psycopg")
    return PostgresBackend(url)
