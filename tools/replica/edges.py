"""The lineage of a state folder, as others have it too."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from ..lineage import LOADED_UNASKED, SCHEMA
from .catalogue import EdgeEntry
from .outbox import Outbox, Rows

UNASKED = LOADED_UNASKED
EDGE, MARK = "edge", "mark"
# SQLite notes by itself what changes, whoever changes it.
NOTED = f"""
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
"""


def edges_of(home: Path) -> Outbox[EdgeEntry]:
    return Outbox(home, Rows("lineage.db", SCHEMA, "the lineage", NOTED, _entry, _take))


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
