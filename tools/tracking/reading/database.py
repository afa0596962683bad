"""The database of an MLflow store, read and never written to."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Generator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Literal

from ....config.settings import Settings
from .. import embedded

# The version of MLflow's tables that these statements are written for; with any other MLflow itself is asked.
REVISION = "dc11669786a5"
POSTGRES = "postgresql+psycopg://"
CONNECT_S = 2
# So much of a file stays in memory during a statement (KiB, negative as SQLite wants it).
CACHE_KIB = -65_536
# MLflow's own switch for stores with several tenants, whose limits only MLflow knows.
TENANTS = "MLFLOW_ENABLE_WORKSPACES"


class Broken(Exception):
    """What the database says of a statement."""


@dataclass(frozen=True)
class Database:
    connection: Any
    dialect: Literal["sqlite", "postgresql"]
    errors: type[Exception]

    def rows(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """What a statement finds, whose values are written as `?`.

        Raises:
            Broken: the database cannot be read.
        """
        text = statement if self.dialect == "sqlite" else statement.replace("?", "%s")
        try:
            return list(self.connection.execute(text, tuple(values)).fetchall())
        except self.errors as error:
            raise Broken(str(error)) from error


@contextmanager
def connected(settings: Settings) -> Generator[Database | None]:
    """The database of the store; None where there is none, or one that only MLflow can read."""
    database = None if os.environ.get(TENANTS, "").lower() in ("true", "1") else _opened(settings)
    if database is None:
        yield None
        return
    with closing(database.connection):
        yield database if _is_known(database) else None


def _opened(settings: Settings) -> Database | None:
    if store := embedded.path(settings):
        return _sqlite(f"{store.absolute().as_uri()}?mode=ro") if store.exists() else None
    uri = settings.tracking_uri
    return _postgres(uri.replace(POSTGRES, "postgresql://", 1)) if uri.startswith(POSTGRES) else None


def _sqlite(uri: str) -> Database | None:
    try:
        connection = sqlite3.connect(uri, uri=True)
        connection.execute(f"pragma cache_size={CACHE_KIB}")
        # As MLflow does it.
        connection.execute("pragma case_sensitive_like=true")
    except sqlite3.Error:  # MLflow says what is wrong with it
        return None
    return Database(connection, "sqlite", sqlite3.Error)


def _postgres(url: str) -> Database | None:
    if find_spec("psycopg") is None:
        return None
    import psycopg

    try:
        connection = psycopg.connect(url, connect_timeout=CONNECT_S, application_name="mlops-mcp")
    except psycopg.Error:  # as above
        return None
    connection.read_only = True
    return Database(connection, "postgresql", psycopg.Error)


def _is_known(database: Database) -> bool:
    try:
        return database.rows("select version_num from alembic_version") == [(REVISION,)]
    except Broken:
        return False
