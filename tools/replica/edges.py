"""The lineage of this state folder: what has been added here, and what others have added."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from ..lineage import LOADED_UNASKED, SCHEMA
from ..storage.store import Store
from .catalogue import EdgeEntry

UNASKED = LOADED_UNASKED
EDGE, MARK = "edge", "mark"
# SQLite notes by itself what changes, whoever changes it.
OUTBOX = f"""
begin immediate;
create table if not exists outbox(id integer primary key autoincrement, kind text, one text, two text);
create trigger if not exists edges_made after insert on edges
  begin insert into outbox(kind, one, two) values('{EDGE}', new.child, new.parent); end;
create trigger if not exists edges_changed after update on edges
  begin insert into outbox(kind, one, two) values('{EDGE}', new.child, new.parent); end;
create trigger if not exists marks_made after insert on deleted
  begin insert into outbox(kind, one, two) values('{MARK}', new.handle, ''); end;
create trigger if not exists marks_taken after delete on deleted
  begin insert into outbox(kind, one, two) values('{MARK}', old.handle, ''); end;
insert into outbox(kind, one, two) select '{EDGE}', child, parent from edges;
insert into outbox(kind, one, two) select '{MARK}', handle, '' from deleted;
commit;
"""


class Edges:
    """All methods raise StorageError."""

    def __init__(self, home: Path) -> None:
        self._store = Store(home / "lineage.db", SCHEMA, "the lineage", _noting)

    def waiting(self) -> tuple[list[EdgeEntry], int]:
        """What others do not have yet, and the number of the last of it."""
        with self._store.open() as db:
            rows = db.execute("select id, kind, one, two from outbox order by id").fetchall()
            last = rows[-1][0] if rows else 0
            distinct = dict.fromkeys((kind, one, two) for _, kind, one, two in rows)
            return [entry for each in distinct if (entry := _entry(db, *each))], last

    def sent(self, last: int) -> None:
        with self._store.writing() as db:
            db.execute("delete from outbox where id<=?", (last,))

    def add(self, entries: Sequence[EdgeEntry]) -> None:
        """Take over what others have published."""
        with self._store.writing() as db:
            last = db.execute("select coalesce(max(id), 0) from outbox").fetchone()[0]
            for each in entries:
                _take(db, each)
            db.execute("delete from outbox where id>?", (last,))


def _noting(db: sqlite3.Connection) -> None:
    """From the first time on; all that was there before is to be published."""
    if not db.execute("select 1 from sqlite_master where name='outbox'").fetchone():
        db.executescript(SCHEMA)
        db.executescript(OUTBOX)


def _entry(db: sqlite3.Connection, kind: str, one: str, two: str) -> EdgeEntry | None:
    if kind == EDGE:
        row = db.execute("select by, at from edges where child=? and parent=?", (one, two)).fetchone()
        return EdgeEntry(kind, one, two, row[0], row[1]) if row else None
    row = db.execute("select at from deleted where handle=?", (one,)).fetchone()
    return EdgeEntry(kind, one, "", "", row[0] if row else 0.0, gone=row is None)


def _take(db: sqlite3.Connection, entry: EdgeEntry) -> None:
    if entry.kind == EDGE:
        db.execute("insert or replace into edges values(?,?,?,?)", (entry.one, entry.two, entry.by, entry.at))
    elif entry.gone:
        db.execute("delete from deleted where handle=?", (entry.one,))
    else:
        db.execute("insert or replace into deleted values(?,?)", (entry.one, entry.at))
