"""Our own SQLite files: created whole in one step, so that processes which meet on an empty folder do not collide.

SQLite alone opens and closes a file of SQLite. A process that closes any descriptor of a file loses all its locks on it
(https://www.sqlite.org/howtocorrupt.html, 2.2); another one then takes itself for the last and deletes the log, and
what the first goes on to write is lost.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path

from .state_files import draft_of, folder_lock, keep_private, place, private_file, private_folder, remove_old_drafts

TIMEOUT_S = 20.0
READING_S = 5.0
# A page of SQLite; it takes a file without a whole one for an empty database.
SMALLEST = 512


@contextmanager
def database(path: Path, schema: str, timeout_s: float = TIMEOUT_S) -> Generator[sqlite3.Connection]:
    """A connection in autocommit mode to the file, which is created if need be, readable by its owner only.

    Write inside `with transaction(db):`. Errors are those of SQLite; `Store` and `translated` put them into words.
    """
    if not path.exists():
        _create(path, schema)
    keep_private(path)
    # mode=rw: should the file vanish meanwhile, SQLite must not make an empty one.
    uri = f"{path.absolute().as_uri()}?mode=rw"
    with closing(sqlite3.connect(uri, uri=True, timeout=timeout_s, isolation_level=None)) as connection:
        connection.execute("pragma synchronous=normal")
        with _log_kept_apart(connection, path):
            yield connection


@contextmanager
def _log_kept_apart(connection: sqlite3.Connection, path: Path) -> Generator[None]:
    """Take the log of a file away that another one has replaced meanwhile.

    SQLite leaves it under its name, and the next connection would take what it says for changes of the new file.
    """
    connection.execute("pragma user_version")  # the log is opened by whoever reads first
    opened, beside = file_of(path), {each: file_of(each) for each in _beside(path)}
    try:
        yield
    finally:
        if file_of(path) not in (None, opened):
            with folder_lock(path.parent):
                for each, known in beside.items():
                    # Another process may have been here before, so that this one is the new file's.
                    if known is not None and file_of(each) == known:
                        each.unlink()


@contextmanager
def reading(path: Path, timeout_s: float = READING_S) -> Generator[sqlite3.Connection]:
    """A connection to a file that exists, which can change nothing. Errors are those of SQLite."""
    uri = f"{path.absolute().as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True, timeout=timeout_s)) as connection:
        yield connection


def require_readable(path: Path) -> None:
    """Look whether a file can be opened, without opening it.

    Raises:
        OSError: it is none, or is not for this user to read.
    """
    number = 0
    if not stat.S_ISREG(path.stat().st_mode):
        number = errno.EISDIR if path.is_dir() else errno.EINVAL
    elif not os.access(path, os.R_OK):
        number = errno.EACCES
    if number:
        raise OSError(number, os.strerror(number), str(path))


def is_database(path: Path) -> bool:
    """Whether a file begins as those of SQLite do; what lies beside it is neither read nor made."""
    if not path.is_file() or path.stat().st_size < SMALLEST:
        return False
    uri = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
    try:
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            connection.execute("pragma schema_version")
    except sqlite3.DatabaseError as error:
        return error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CANTOPEN)
    return True


@contextmanager
def transaction(connection: sqlite3.Connection) -> Generator[None]:
    """One write transaction that takes the lock at once, so that it cannot fail half-way."""
    connection.execute("begin immediate")
    try:
        yield
    except BaseException:
        # A full disk or a vanished file has ended it already.
        if connection.in_transaction:
            connection.execute("rollback")
        raise
    connection.execute("commit")


def file_of(path: Path) -> tuple[int, int] | None:
    """Which file has the name now: another one, or none, than a connection was opened to means that it was moved."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _beside(path: Path) -> list[Path]:
    """What SQLite puts beside a file."""
    return [path.with_name(path.name + suffix) for suffix in ("-wal", "-shm", "-journal")]


def _create(path: Path, schema: str) -> None:
    private_folder(path.parent)
    with folder_lock(path.parent):
        if path.exists():
            return
        remove_old_drafts(path)
        # SQLite would take what a file that was moved away has left behind for the new one's.
        for each in _beside(path):
            each.unlink(missing_ok=True)
        with draft_of(path) as draft:
            os.close(private_file(draft))
            with closing(sqlite3.connect(draft)) as connection:
                connection.execute("pragma journal_mode=wal")
                connection.executescript(schema)
            place(draft, path, alone=True)
