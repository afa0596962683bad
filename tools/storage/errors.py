"""What is wrong with a file of ours, in words that name the file, the cause and what to do."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from ..errors import Unavailable

FULL = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
READ_ONLY = frozenset((errno.EACCES, errno.EPERM, errno.EROFS))
MOVED = frozenset((errno.ENOENT, errno.ENOTDIR))
# With less than this much room SQLite may not even be able to say that the disk is full.
FULL_BYTES = 64 * 1024
AGAIN = "Repeat it in a minute"
REMEDIES = {
    "locked": f"{AGAIN}; if it stays locked, end the process that has the file open (fuser {{path}}).",
    "full": "Make room on the disk of {folder} (or raise the quota), then repeat it.",
    "damaged": "Move the file away: a new one is made.",
    "foreign": "It was not made by mlops-mcp. Move the file away: a new one is made.",
    "moved": f"{AGAIN}; if it was moved by mistake, stop all servers and put it back with what lies beside it.",
    "read-only": "Let this user write {folder} and the file, or set home (MLOPS_HOME) to a folder that can be written.",
    "unreadable": f"{AGAIN}; if it happens again, look at the disk of {{folder}}.",
}


class StorageError(Unavailable):
    """A file or table of ours cannot be used at the moment.

    `kind` is one of the keys of REMEDIES, "busy", or "away" for a database that does not answer.
    """

    def __init__(self, message: str, hint: str = "", kind: str = "unreadable") -> None:
        super().__init__(message, hint)
        self.kind = kind

    @property
    def passing(self) -> bool:
        """Whether the same may succeed later without anybody having touched the file."""
        return self.kind in ("locked", "full", "busy", "away", "unreadable", "read-only")


@contextmanager
def translated(what: str, path: Path, then: str = "") -> Generator[None]:
    """Raise what SQLite or the system says of a file as a StorageError.

    Args:
        what: how the file is called, e.g. "the job table".
        then: a sentence that follows the remedy.
    """
    try:
        yield
    except (sqlite3.DatabaseError, OSError) as error:
        if isinstance(error, sqlite3.IntegrityError | sqlite3.ProgrammingError):
            raise
        raise storage_error(what, path, error, then) from error


def storage_error(what: str, path: Path, error: sqlite3.Error | OSError, then: str = "") -> StorageError:
    """The failure that an error of a file stands for."""
    kind = _kind(path, error)
    text = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
    remedy = REMEDIES[kind].format(path=path, folder=path.parent)
    return StorageError(f"{what} {path} cannot be used: {_cause(kind)}{text}", f"{remedy} {then}".strip(), kind)


def _cause(kind: str) -> str:
    return {"full": "the disk is full: ", "moved": "it was moved or deleted: "}.get(kind, "")


def _kind(path: Path, error: sqlite3.Error | OSError) -> str:
    if isinstance(error, OSError):
        return _kind_of_number(error.errno)
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    if code == sqlite3.SQLITE_READONLY_DBMOVED:
        return "moved"
    known = {
        sqlite3.SQLITE_BUSY: "locked",
        sqlite3.SQLITE_LOCKED: "locked",
        sqlite3.SQLITE_PROTOCOL: "locked",
        sqlite3.SQLITE_FULL: "full",
        sqlite3.SQLITE_CORRUPT: "damaged",
        sqlite3.SQLITE_NOTADB: "damaged",
        sqlite3.SQLITE_READONLY: "read-only",
        sqlite3.SQLITE_PERM: "read-only",
        # A statement that fits our own schema fails only on another one.
        sqlite3.SQLITE_ERROR: "foreign",
        sqlite3.SQLITE_SCHEMA: "foreign",
        sqlite3.SQLITE_MISMATCH: "foreign",
    }
    return known.get(code & 0xFF) or _kind_by_looking(path, code)


def _kind_of_number(number: int | None) -> str:
    if number in FULL:
        return "full"
    if number in READ_ONLY:
        return "read-only"
    return "moved" if number in MOVED else "unreadable"


def _kind_by_looking(path: Path, code: int) -> str:
    """SQLite says only that it could not open, read or write."""
    if not path.exists():
        return "moved"
    if code == sqlite3.SQLITE_IOERR_WRITE or _free_bytes(path.parent) < FULL_BYTES:
        return "full"
    return "unreadable" if code & 0xFF == sqlite3.SQLITE_IOERR else "read-only"


def _free_bytes(folder: Path) -> int:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize
