"""What was made from what: one edge per parent, written by the code that makes a thing."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from .storage.database import TIMEOUT_S
from .storage.store import Store

SCHEMA = """
create table if not exists edges(
  child text not null, parent text not null, by text not null, at real not null, primary key(child, parent));
create index if not exists edges_children on edges(parent, child);
drop index if exists edges_parent;
create table if not exists deleted(handle text primary key, at real not null);
"""
DEEPEST = 50
# By whom a dataset is made whose path was passed where a dataset goes: who loads it on purpose takes the place.
LOADED_UNASKED = "loaded on the way"
RECORD = f"""
insert into edges values(?,?,?,?)
on conflict(child, parent) do update set by=excluded.by, at=excluded.at where edges.by='{LOADED_UNASKED}'
"""


def _upgraded(db: sqlite3.Connection) -> None:
    """A file of an older version has no place for what was deleted; one of somebody else stays as it is."""
    if db.execute("select 1 from sqlite_master where name='edges'").fetchone():
        db.executescript(SCHEMA)


@dataclass(frozen=True)
class Edge:
    child: str
    parent: str
    by: str


class Lineage:
    """The graph of a state folder. Nodes are handles, and `file:<path>` for what came from outside.

    All methods raise StorageError when its file cannot be used.
    """

    def __init__(self, home: Path, timeout_s: float = TIMEOUT_S) -> None:
        self._store = Store(home / "lineage.db", SCHEMA, "the lineage", _upgraded, timeout_s=timeout_s)

    def record(self, child: str, parents: Iterable[str], by: str) -> None:
        """Note that `by` (a tool) made `child` from `parents`; the first stays, unless it was made `LOADED_UNASKED`."""
        rows = [(child, parent, by, time.time()) for parent in dict.fromkeys(parents) if parent and parent != child]
        with self._store.writing() as db:
            db.executemany(RECORD, rows)
            db.execute("delete from deleted where handle=?", (child,))

    def mark_deleted(self, handles: Iterable[str]) -> None:
        """Note that things are gone; what was made from what stays known."""
        with self._store.writing() as db:
            now = time.time()
            db.executemany("insert or replace into deleted values(?,?)", [(handle, now) for handle in handles])

    def mark_restored(self, handles: Iterable[str]) -> None:
        with self._store.writing() as db:
            db.executemany("delete from deleted where handle=?", [(handle,) for handle in handles])

    def deleted(self, handles: Iterable[str]) -> set[str]:
        """Those of the handles that are gone."""
        with self._store.open() as db:
            asked = [(handle, db.execute("select 1 from deleted where handle=?", (handle,))) for handle in handles]
            return {handle for handle, found in asked if found.fetchone()}

    def deleted_under(self, name: str) -> list[str]:
        """What is gone of a handle: itself, and its versions."""
        versions = "substr(handle, 1, length(:name) + 1) in (:name || '@', :name || '/')"
        with self._store.open() as db:
            query = f"select handle from deleted where handle = :name or {versions} order by handle"
            return [str(row[0]) for row in db.execute(query, {"name": name})]

    def ancestors(self, handle: str, limit: int = 200) -> list[Edge]:
        """Everything the handle was made from, nearest first."""
        return self._walk("child", "parent", handle, limit)

    def descendants(self, handle: str, limit: int = 200) -> list[Edge]:
        """Everything that was made from the handle, nearest first."""
        return self._walk("parent", "child", handle, limit)

    def nodes(self) -> set[str]:
        with self._store.open() as db:
            return {row[0] for row in db.execute("select child from edges union select parent from edges")}

    def _walk(self, here: str, there: str, handle: str, limit: int) -> list[Edge]:
        """Step by step, so that what is left out is not looked for: a thing may have tens of thousands of children."""
        found, reached, frontier = list[Edge](), {handle}, [handle]
        with self._store.open() as db:
            for _ in range(DEEPEST):
                if not frontier or len(found) == limit:
                    break
                query = (
                    f"select child, parent, by from edges where {here} in ({', '.join('?' * len(frontier))}) "
                    f"order by child, parent limit ?"
                )
                step = [Edge(*row) for row in db.execute(query, (*frontier, limit - len(found)))]
                found += step
                ends: list[str] = [getattr(edge, there) for edge in step]
                frontier = [end for end in dict.fromkeys(ends) if end not in reached]
                reached.update(frontier)
        return found
