"""The files of this state folder that others have too, and what was last seen or published of each."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ..storage.state_files import draft_of, private_folder, write_private
from ..storage.store import Store
from .catalogue import Entry

SCHEMA = """
create table if not exists files(
  path text primary key, sha256 text not null, size integer not null, mtime integer not null,
  change integer not null, here integer not null, released integer not null default 0);
create table if not exists seen(what text primary key, change integer not null);
create table if not exists lost(path text not null, at real not null);
"""
COLUMNS = "path, sha256, size, mtime, change, here, released"
# What is shared, below home. Models are those that MLflow could not take; the key is what those are sealed with.
FOLDERS = (
    "datasets", "explanations", "comparisons", "searches", "models", "gx/suites", "gx/validations",
)  # fmt: skip
FILES = ("secret.key", "tokens.json")
LOCK_ENDS = ".lock"
# Files up to this lie in the database, and every server has them; so it has all JSON, which is listed and searched.
INLINE = 64 << 10
ALWAYS = ".json"
KEPT_LOST_S = 24 * 3600.0


@dataclass(frozen=True)
class Known:
    """A file as it was last seen or published here; `here` if its content was, `released` if it was deleted on purpose.

    What is missing for no reason that is known is fetched again: a folder that was lost must not empty all others.
    """

    sha256: str
    size: int
    mtime: int
    change: int
    here: bool
    released: bool = False

    def fits(self, found: os.stat_result) -> bool:
        return (found.st_size, found.st_mtime_ns) == (self.size, self.mtime)


class Copies:
    """All methods raise StorageError, or OSError where the disk is full."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._store = Store(home / "replica.db", SCHEMA, "the table of shared files")

    def known(self) -> dict[str, Known]:
        with self._store.open() as db:
            return _knowns(db.execute(f"select {COLUMNS} from files").fetchall())

    def known_at(self, path: str) -> dict[str, Known]:
        """What is known of a file, or of all files below a folder."""
        query = f"select {COLUMNS} from files where path=? or substr(path, 1, ?)=?"
        with self._store.open() as db:
            return _knowns(db.execute(query, (path, len(path) + 1, f"{path}/")).fetchall())

    def note(self, notes: Mapping[str, Known | None]) -> None:
        """What is known of some files from now on; None: nothing."""
        with self._store.writing() as db:
            for path, each in notes.items():
                if each is None:
                    db.execute("delete from files where path=?", (path,))
                else:
                    flags = (int(each.here), int(each.released))
                    values = (path, each.sha256, each.size, each.mtime, each.change, *flags)
                    db.execute("insert or replace into files values(?,?,?,?,?,?,?)", values)

    def seen(self, what: str) -> int:
        """The number of the last change that was looked at."""
        with self._store.open() as db:
            row = db.execute("select change from seen where what=?", (what,)).fetchone()
        return int(row[0]) if row else 0

    def set_seen(self, what: str, change: int) -> None:
        with self._store.writing() as db:
            db.execute("insert or replace into seen values(?,?)", (what, change))

    def note_lost(self, paths: Iterable[str]) -> None:
        """What was made here has given way to what others have published."""
        now = time.time()
        with self._store.writing() as db:
            db.execute("delete from lost where at<?", (now - KEPT_LOST_S,))
            db.executemany("insert into lost values(?,?)", [(path, now) for path in paths])

    def lost_since(self, moment: float) -> list[str]:
        with self._store.open() as db:
            return [row[0] for row in db.execute("select path from lost where at>=?", (moment,))]

    def files(self) -> Iterator[tuple[str, os.stat_result]]:
        """What there is to share, with its facts."""
        for name in FILES:
            with contextlib.suppress(FileNotFoundError):
                yield name, (self.home / name).lstat()
        for name in FOLDERS:
            yield from _below(self.home, self.home / name)

    def is_ours(self, path: str) -> bool:
        """Whether it is a path that `files` would name: others may write the database, but no other file of ours."""
        plain = str(PurePosixPath(path)) == path and ".." not in path.split("/")
        return plain and (path in FILES or path.startswith(tuple(f"{each}/" for each in FOLDERS)))

    def place(self, entry: Entry, content: bytes | Path) -> Known:
        """Put a file that others have published where it belongs, whole."""
        target = self.home / entry.path
        private_folder(target.parent)
        with draft_of(target) as draft:
            if isinstance(content, Path):
                content.rename(draft)
            else:
                write_private(draft, content)
            draft.chmod(0o600)
            os.utime(draft, ns=(entry.mtime, entry.mtime))
            draft.replace(target)
        return Known(entry.sha256, entry.size, entry.mtime, entry.change, here=True)

    def take_away(self, path: str) -> None:
        """Delete a file, and the folders that it leaves empty: their names would be taken for those of things."""
        target = self.home / path
        target.unlink(missing_ok=True)
        top = self.home / next((each for each in FOLDERS if path.startswith(f"{each}/")), path)
        for folder in target.parents:
            if not folder.is_relative_to(top) or folder == top:
                break
            try:
                folder.rmdir()
            except OSError:  # others are in it
                break


def _knowns(rows: Iterable[Sequence[Any]]) -> dict[str, Known]:
    return {row[0]: Known(row[1], row[2], row[3], row[4], bool(row[5]), bool(row[6])) for row in rows}


def _below(home: Path, folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Whole files; drafts and locks are this server's own."""
    try:
        entries = sorted(os.scandir(folder), key=lambda each: each.name)
    except (FileNotFoundError, NotADirectoryError):
        return
    for each in entries:
        if each.name.startswith(".") or each.name.endswith(LOCK_ENDS):
            continue
        with contextlib.suppress(FileNotFoundError):
            facts = each.stat(follow_symlinks=False)
            if stat.S_ISDIR(facts.st_mode):
                yield from _below(home, Path(each.path))
            elif stat.S_ISREG(facts.st_mode):
                yield Path(each.path).relative_to(home).as_posix(), facts


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
