"""Files of the state folder: private whatever the umask, and given their name in one step."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

FILE_MODE, FOLDER_MODE = 0o600, 0o700
# Older drafts belong to processes that were killed while they made a file.
DRAFT_S = 300.0
# How a filesystem says that it has no hard links (or that one file has as many as it can).
NO_LINKS = frozenset((errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK))
# ... and that it has no locks, or none for folders.
NO_LOCKS = frozenset((errno.EBADF, errno.EINVAL, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS))


def private_folder(path: Path) -> Path:
    """Make a folder, and those above it that are missing, for its owner only; one that exists is left as it is."""
    if not path.is_dir():
        if path.parent != path:
            private_folder(path.parent)
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=FOLDER_MODE)
            path.chmod(FOLDER_MODE)
    return path


def own_folder(path: Path) -> None:
    """Make the state folder, or take one that is there: what lies in it is believed, down to what is run.

    Raises:
        PermissionError: it, or the link that leads to it, belongs to another user.
    """
    private_folder(path)
    owners = {path.lstat().st_uid, path.stat().st_uid} - {os.geteuid()}
    if owners:
        raise PermissionError(errno.EPERM, f"it belongs to user {owners.pop()}, and this is user {os.geteuid()}")
    if path.stat().st_mode & 0o077:
        path.chmod(FOLDER_MODE)


def keep_files_private() -> None:
    """Let whatever this process and its children make be their user's alone, also what libraries write."""
    os.umask(0o077)


def private_file(path: Path) -> int:
    """The descriptor of a new file that only its owner can read; nobody else has the name."""
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, FILE_MODE)
    os.fchmod(descriptor, FILE_MODE)
    return descriptor


def open_private(path: Path) -> int:
    """A descriptor of a file that only its owner can use, for locks and counters; it is made if need be."""
    private_folder(path.parent)
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, FILE_MODE)
    if os.fstat(descriptor).st_mode & 0o777 != FILE_MODE:  # the umask may take even from the owner
        with contextlib.suppress(PermissionError):
            os.fchmod(descriptor, FILE_MODE)
    return descriptor


def keep_private(path: Path) -> None:
    """Take from others what an older version, or a copy, has let them have of a file of ours."""
    if path.stat().st_mode & ~FILE_MODE & 0o777:
        with contextlib.suppress(PermissionError):  # it belongs to somebody else, who may decide
            path.chmod(FILE_MODE)


@contextmanager
def draft_of(path: Path) -> Generator[Path]:
    """The name of a hidden draft beside a file, which is gone afterwards with what SQLite has put beside it."""
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        yield draft
    finally:
        for suffix in ("", "-journal", "-wal", "-shm"):
            draft.with_name(draft.name + suffix).unlink(missing_ok=True)


def remove_old_drafts(path: Path) -> None:
    """Delete the drafts of a file that killed processes have left behind."""
    for draft in path.parent.glob(f".{path.name}.*"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - draft.stat().st_mtime > DRAFT_S:
                draft.unlink()


def written_once(path: Path, text: str) -> str:
    """Write a small private file unless it exists; what it holds, whoever wrote it."""
    return bytes_once(path, text.encode()).decode()


def bytes_once(path: Path, data: bytes) -> bytes:
    """`written_once` for what is no text."""
    if not path.exists():
        private_folder(path.parent)
        remove_old_drafts(path)
        with draft_of(path) as draft:
            write_private(draft, data)
            place(draft, path)
    return path.read_bytes()


def replaced(path: Path, data: bytes) -> None:
    """Write a small private file in one step, over the one that is there."""
    private_folder(path.parent)
    remove_old_drafts(path)
    with draft_of(path) as draft:
        write_private(draft, data)
        draft.replace(path)


def appended(path: Path, data: bytes) -> None:
    """Add whole lines to a private file, or nothing at all; whoever calls this holds the lock of the file.

    Raises:
        OSError: there is no room, or the file cannot be written.
    """
    descriptor = open_private(path)
    try:
        end = os.lseek(descriptor, 0, os.SEEK_END)
        # Whoever was killed while it wrote has left a piece of a line.
        whole = data if not end or os.pread(descriptor, 1, end - 1) == b"\n" else b"\n" + data
        try:
            if os.write(descriptor, whole) < len(whole):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            os.ftruncate(descriptor, end)
            raise
    finally:
        os.close(descriptor)


def write_private(path: Path, data: bytes) -> None:
    """Write a new file that only its owner can read."""
    with os.fdopen(private_file(path), "wb") as file:
        file.write(data)


def place(draft: Path, path: Path, alone: bool = False) -> None:
    """Give a finished file its name unless another process was first; the draft is gone either way.

    Args:
        alone: the caller holds the lock of the folder.
    """
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        _rename(draft, path, alone)
    finally:
        draft.unlink(missing_ok=True)


def _rename(draft: Path, path: Path, alone: bool) -> None:
    """Renaming would replace the file of another process, so only one at a time looks and renames."""
    with contextlib.nullcontext() if alone else folder_lock(path.parent):
        if not path.exists():
            draft.rename(path)


@contextmanager
def folder_lock(folder: Path) -> Generator[None]:
    """Held by who makes a file in the folder, for as long as that takes."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
        yield
    finally:
        os.close(descriptor)
