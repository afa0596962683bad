"""Our own SQLite files: created whole in one step, so that processes which meet on an empty folder do not collide."""

from __future__ import annotations

import os
import sqlite3
import uuid
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path


@contextmanager
def database(path: Path, schema: str, timeout_s: float = 20.0) -> Generator[sqlite3.Connection]:
    """A connection in autocommit mode to the file, which is created if need be, readable by its owner only.

    Write inside `with transaction(db):`.
    """
    if not path.exists():
        _create(path, schema)
    with closing(sqlite3.connect(path, timeout=timeout_s, isolation_level=None)) as connection:
        connection.execute("pragma synchronous=normal")
        yield connection


@contextmanager
def transaction(connection: sqlite3.Connection) -> Generator[None]:
    """One write transaction that takes the lock at once, so that it cannot fail half-way."""
    connection.execute("begin immediate")
    try:
        yield
    except BaseException:
        connection.execute("rollback")
        raise
    connection.execute("commit")


def _create(path: Path, schema: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    with closing(sqlite3.connect(draft)) as connection:
        connection.execute("pragma journal_mode=wal")
        connection.executescript(schema)
    place(draft, path)


def place(draft: Path, path: Path) -> None:
    """Give a finished file its name unless another process was first; the draft is gone either way."""
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
