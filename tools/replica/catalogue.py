"""What there is, in PostgreSQL: a row per file, edge of the lineage and decision, with the number of its last change.

Whoever publishes holds a lock, so that who reads all changes beyond a number has missed none before it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ..storage.postgres import Named, Opened, Postgres, makes

TABLES = """
create sequence if not exists replica_changes;
create table if not exists replica_files(
  home text not null, path text not null, sha256 text not null, size bigint not null, mtime bigint not null,
  gone boolean not null, change bigint not null, content bytea, primary key(home, path));
create index if not exists replica_files_change on replica_files(home, change);
create index if not exists replica_files_sha256 on replica_files(home, sha256);
create table if not exists replica_edges(
  home text not null, kind text not null, one text not null, two text not null, by text not null,
  at double precision not null, gone boolean not null, change bigint not null, primary key(home, kind, one, two));
create index if not exists replica_edges_change on replica_edges(home, change);
create table if not exists replica_decisions(
  home text not null, id text not null, said text not null, gone boolean not null, change bigint not null,
  primary key(home, id));
create index if not exists replica_decisions_change on replica_decisions(home, change);
"""
NAMED = Named("the shared state", "storage.database")
LOCK = 0x7265706C
# So many changes are read, or published, at once.
MOST = 500
READ = "select path, sha256, size, mtime, gone, change, content from replica_files where home=?"
FILES, FILE = f"{READ} and change>? order by change limit ?", f"{READ} and path=?"
EDGES = (
    "select kind, one, two, by, at, gone, change from replica_edges where home=? and change>? order by change limit ?"
)
PUT_FILE = """
insert into replica_files values(?,?,?,?,?,?,nextval('replica_changes'),?)
on conflict(home, path) do update set sha256=excluded.sha256, size=excluded.size, mtime=excluded.mtime,
gone=excluded.gone, change=excluded.change, content=excluded.content returning change
"""
PUT_EDGE = """
insert into replica_edges values(?,?,?,?,?,?,?,nextval('replica_changes'))
on conflict(home, kind, one, two) do update
set by=excluded.by, at=excluded.at, gone=excluded.gone, change=excluded.change
where excluded.kind<>'edge' or replica_edges.by=? returning change
"""
DECISIONS = "select id, said, gone, change from replica_decisions where home=? and change>? order by change limit ?"
# Of two servers that say the same the first counts, until it is taken back.
PUT_DECISION = """
insert into replica_decisions values(?,?,?,?,nextval('replica_changes'))
on conflict(home, id) do update set said=excluded.said, gone=excluded.gone, change=excluded.change
where replica_decisions.gone<>excluded.gone
"""


@dataclass(frozen=True)
class Entry:
    """A file as it was published; `content` is None where the file store has it. Times are nanoseconds."""

    path: str
    sha256: str
    size: int
    mtime: int
    gone: bool = False
    change: int = 0
    content: bytes | None = None


@dataclass(frozen=True)
class EdgeEntry:
    """An edge (child, parent) or the mark (handle, "") of what is deleted; `gone` if the mark was taken back."""

    kind: str
    one: str
    two: str
    by: str
    at: float
    gone: bool = False
    change: int = 0


@dataclass(frozen=True)
class DecisionEntry:
    """A decision by its name, `said` as JSON; `gone` if it was taken back, and nothing of it stays."""

    id: str
    said: str
    gone: bool = False
    change: int = 0


@dataclass
class Published:
    """What came of publishing, by path: the numbers of changes, and what others have published instead."""

    changes: dict[str, int]
    others: dict[str, Entry]
    unreferenced: set[str]


class Catalogue:
    """The rows of one installation. All methods raise StorageError."""

    def __init__(self, url: str, home: str) -> None:
        self._home = home
        made = ("replica_changes", "replica_files", "replica_edges", "replica_decisions")
        self._database = Postgres(url, NAMED, makes(TABLES, *made), LOCK)

    def files_after(self, change: int) -> list[Entry]:
        """At most `MOST`, by their numbers."""
        with self._database.open() as db:
            rows = db.execute(FILES, (self._home, change, MOST)).fetchall()
        return [_entry(row) for row in rows]

    def files_at(self, paths: Iterable[str]) -> list[Entry]:
        """Those of the paths that others have."""
        with self._database.open() as db:
            rows = [db.execute(FILE, (self._home, path)).fetchone() for path in paths]
        return [_entry(row) for row in rows if row and not row[4]]

    def edges_after(self, change: int) -> list[EdgeEntry]:
        with self._database.open() as db:
            return [EdgeEntry(*row) for row in db.execute(EDGES, (self._home, change, MOST)).fetchall()]

    def decisions_after(self, change: int) -> list[DecisionEntry]:
        with self._database.open() as db:
            return [DecisionEntry(*row) for row in db.execute(DECISIONS, (self._home, change, MOST)).fetchall()]

    def publish(self, files: Iterable[tuple[Entry, int]], first: Collection[str]) -> Published:
        """Publish files, each unless others have changed it since the number that is given with it.

        Args:
            first: of which paths the first that was published stays, as all say the same.
        """
        made = Published({}, {}, set())
        with self._database.alone() as db:
            for entry, base in files:
                self._publish(db, entry, base, entry.path in first, made)
        return made

    def publish_edges(self, edges: Sequence[EdgeEntry], unasked: str) -> None:
        """The first edge of a child and parent stays, unless it was made by `unasked`."""
        with self._database.alone() as db:
            for each in edges:
                db.execute(PUT_EDGE, (self._home, each.kind, each.one, each.two, each.by, each.at, each.gone, unasked))

    def publish_decisions(self, decisions: Sequence[DecisionEntry]) -> None:
        with self._database.alone() as db:
            for each in decisions:
                db.execute(PUT_DECISION, (self._home, each.id, each.said, each.gone))

    def unused(self, sha256: str, db: Opened) -> bool:
        query = "select 1 from replica_files where home=? and sha256=? and not gone limit 1"
        return db.execute(query, (self._home, sha256)).fetchone() is None

    def alone(self) -> Any:
        return self._database.alone()

    def close(self) -> None:
        self._database.close()

    def _publish(self, db: Opened, entry: Entry, base: int, first: bool, made: Published) -> None:
        row = db.execute(FILE, (self._home, entry.path)).fetchone()
        there = _entry(row) if row else None
        differs = there is not None and not there.gone and (entry.gone or there.sha256 != entry.sha256)
        if there and differs and there.change != base:
            # Changed by others since; so is what is to go, if they have written it again.
            made.others[entry.path] = there
            if first and not entry.gone:
                made.changes[entry.path] = there.change
            return
        if entry.gone and (there is None or there.gone):
            made.changes[entry.path] = there.change if there else 0
            return
        if there and differs and there.content is None:
            made.unreferenced.add(there.sha256)
        values = (entry.sha256, entry.size, entry.mtime, entry.gone, entry.content)
        made.changes[entry.path] = int(db.execute(PUT_FILE, (self._home, entry.path, *values)).fetchone()[0])


def _entry(row: Sequence[Any]) -> Entry:
    content = None if row[6] is None else bytes(row[6])
    return Entry(row[0], row[1], row[2], row[3], row[4], row[5], content)
