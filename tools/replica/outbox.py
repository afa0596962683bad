"""The rows of one of our own tables that others have too: what has been changed here, and what others have changed."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from ..storage.store import Store

T = TypeVar("T")
TABLE = "create table if not exists outbox(id integer primary key autoincrement, kind text, one text, two text);"


@dataclass(frozen=True)
class Rows(Generic[T]):
    """Which rows are shared.

    Args:
        what: how an error calls their table.
        noted: triggers that write the keys of what changes into the outbox, and statements that write what there is.
        read: a row as others are to have it; None where nothing is to be told.
        take: does to the table what others have done.
    """

    file: str
    schema: str
    what: str
    noted: str
    read: Callable[[sqlite3.Connection, str, str, str], T | None]
    take: Callable[[sqlite3.Connection, T], None]


class Outbox(Generic[T]):
    """All methods raise StorageError."""

    def __init__(self, home: Path, rows: Rows[T]) -> None:
        self._rows = rows
        self._store = Store(home / rows.file, rows.schema, rows.what, self._noting)

    def waiting(self) -> tuple[list[T], int]:
        """What others do not have yet, and the number of the last of it."""
        with self._store.open() as db:
            found = db.execute("select id, kind, one, two from outbox order by id").fetchall()
            last = found[-1][0] if found else 0
            distinct = dict.fromkeys((kind, one, two) for _, kind, one, two in found)
            return [row for each in distinct if (row := self._rows.read(db, *each)) is not None], last

    def sent(self, last: int) -> None:
        with self._store.writing() as db:
            db.execute("delete from outbox where id<=?", (last,))

    def add(self, rows: Sequence[T]) -> None:
        """Take over what others have published."""
        with self._store.writing() as db:
            last = db.execute("select coalesce(max(id), 0) from outbox").fetchone()[0]
            for each in rows:
                self._rows.take(db, each)
            db.execute("delete from outbox where id>?", (last,))

    def _noting(self, db: sqlite3.Connection) -> None:
        """From the first time on; all that was there before is to be published."""
        if not db.execute("select 1 from sqlite_master where name='outbox'").fetchone():
            db.executescript(self._rows.schema)
            db.executescript(f"begin immediate;\n{TABLE}\n{self._rows.noted}\ncommit;")
