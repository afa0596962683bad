"""A PostgreSQL database that several servers share: its connections, our schema in it, and errors in words."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from .errors import StorageError

if TYPE_CHECKING:
    from psycopg import Connection

# A schema of its own: MLflow has a table `jobs` as well, and both may be given one database.
SCHEMA = "mlops_mcp"
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
# The server notices within seconds that the machine of a connection is gone.
NOTICED = "-c tcp_keepalives_idle=5 -c tcp_keepalives_interval=2 -c tcp_keepalives_count=3"
# Any fixed number: whoever changes the tables takes this lock first.
LOCK = 0x6D6C6F7073


class Opened(Protocol):
    """One open connection; statements take `?` for their values."""

    def execute(self, statement: str, values: Sequence[Any] = (), /) -> Any: ...


@dataclass(frozen=True)
class Named:
    """How an error calls what lies in the database, which setting leads there, and what it says last."""

    what: str
    setting: str
    then: str = ""


class Postgres:
    """Connections are kept until `close`, since opening one takes milliseconds.

    All methods raise StorageError when the database cannot be used.

    Args:
        prepare: makes what is missing; called with the first connection.
        lock: of those who change the same; any number.
    """

    def __init__(self, url: str, named: Named, prepare: Callable[[Connection], None], lock: int = LOCK) -> None:
        self._url = url
        self._named = named
        self._make = prepare
        self._number = lock
        # Without user, password and options, and without the parsing that trips over odd ones.
        self.name = f"at {url.partition('://')[2].rpartition('@')[2].partition('?')[0]}"
        self._idle: list[Connection] = []
        self._lock = threading.Lock()
        self._ready = False

    @contextmanager
    def open(self) -> Generator[Opened]:
        """A connection that commits every statement."""
        with self._told():
            connection = self._take()
            try:
                yield Placeholders(connection)
            except BaseException:
                connection.close()
                raise
            with self._lock:
                self._idle.append(connection)

    @contextmanager
    def _told(self) -> Generator[None]:
        import psycopg

        called, setting = f"{self._named.what} {self.name}", self._named.setting
        try:
            yield
        except psycopg.ProgrammingError as error:
            hint = f"Check {setting}; its user needs the schema {SCHEMA}, or the right to create it."
            raise StorageError(f"{called} cannot be used: {_reason(error)}", hint, "foreign") from error
        except psycopg.Error as error:
            hint = f"Check {setting}. {self._named.then}".strip()
            raise StorageError(f"{called} does not answer: {str(error).strip()[:300]}", hint, "away") from error

    @contextmanager
    def alone(self) -> Generator[Opened]:
        """One transaction that none of another holder of the lock can mix with."""
        with self.open() as connection:
            connection.execute("begin")
            connection.execute("select pg_advisory_xact_lock(?)", (self._number,))
            yield connection
            connection.execute("commit")

    def held(self, number: int, held: Connection | None) -> Connection:
        """A connection of its own that has the lock of a number until it, or this process, ends.

        Args:
            held: one that had it, which is given back while its server is there.
        """
        import psycopg

        if held is not None and not held.closed and _answers(held):
            return held
        with self._told():
            options: dict[str, Any] = {**LIMITS, "options": f"{LIMITS['options']} {NOTICED}"}
            connection = psycopg.connect(self._url, autocommit=True, connect_timeout=2, **options)
            connection.execute("select pg_advisory_lock(%s)", (number,))
            return connection

    def close(self) -> None:
        with self._lock:
            while self._idle:
                self._idle.pop().close()

    def _take(self) -> Connection:
        import psycopg

        with self._lock:
            while self._idle:
                connection = self._idle.pop()
                if _answers(connection):
                    return connection
                connection.close()
        connection = psycopg.connect(self._url, autocommit=True, connect_timeout=2, **LIMITS)
        if not self._ready:
            self._make(connection)
            self._ready = True
        return connection


class Placeholders:
    """Takes the statements as SQLite knows them."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def execute(self, statement: str, values: Sequence[Any] = (), /) -> Any:
        return self._connection.execute(statement.replace("?", "%s").encode(), values)


def make_schema(connection: Connection) -> None:
    """Make our schema, unless somebody with more rights has."""
    if connection.execute("select to_regnamespace(%s)", (SCHEMA,)).fetchone() == (None,):
        connection.execute(f"create schema {SCHEMA}".encode())


def makes(tables: str, *names: str) -> Callable[[Connection], None]:
    """Makes tables that never change once they are there: asked first, since making waits for whoever reads.

    Args:
        tables: the statements that make them.
        names: all that they make.
    """

    def prepare(connection: Connection) -> None:
        query = "select count(*) from unnest(%s::text[]) as name where to_regclass(name) is not null"
        found = connection.execute(query, ([f"{SCHEMA}.{name}" for name in names],)).fetchone()
        if found == (len(names),):
            return
        with connection.transaction():
            connection.execute("select pg_advisory_xact_lock(%s)", (LOCK,))
            make_schema(connection)
            connection.execute(tables.encode())

    return prepare


def _answers(connection: Connection) -> bool:
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
