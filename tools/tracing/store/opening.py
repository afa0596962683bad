"""Open the trace store for writing: made where it is missing, upgraded where it is older, private in any case."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from ...storage.database import database
from .schema import SCHEMA, upgrade

# Who waits for longer tries again: nothing is given up because of a lock.
BUSY_S = 1.0


@contextmanager
def opened(path: Path, timeout_s: float = 20.0) -> Generator[sqlite3.Connection]:
    """A connection to the store for writing.

    Raises:
        OSError, sqlite3.Error: it cannot be made, or is none.
    """
    with database(path, SCHEMA, timeout_s) as connection:
        upgrade(connection)
        yield connection
