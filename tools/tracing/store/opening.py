"""Open the trace store for writing: made where it is missing, upgraded where it is older, private in any case."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ...storage.database import database
from .process_locks import creating
from .schema import SCHEMA, upgrade

# Who waits for longer tries again: nothing is given up because of a lock.
BUSY_S = 1.0


@dataclass(frozen=True)
class Identity:
    """Which file a path leads to."""

    device: int
    inode: int

    @classmethod
    def of(cls, path: Path) -> Identity | None:
        """None where there is no file."""
        try:
            found = path.stat()
        except FileNotFoundError:
            return None
        return cls(found.st_dev, found.st_ino)


@contextmanager
def opened(path: Path, timeout_s: float = 20.0) -> Generator[sqlite3.Connection]:
    """A connection to the store for writing.

    Raises:
        OSError, sqlite3.Error: it cannot be made, or is none.
    """
    if not path.exists():
        _make(path)
    with database(path, SCHEMA, timeout_s) as connection:
        upgrade(connection)
        yield connection


def _make(path: Path) -> None:
    with creating(path):
        if path.exists():
            return
        # The log of a file that was moved away would be applied to the new one.
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        with database(path, SCHEMA):
            pass
