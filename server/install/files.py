"""Files of clients: read whole, written in one step through their links, with what was there kept beside them."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from ...tools.storage.state_files import FILE_MODE, draft_of, folder_lock, write_private
from .errors import InstallError

WRITABLE = 0o222


def read(path: Path) -> str | None:
    """The text of a file; None if there is none.

    Raises:
        InstallError: it is no text in UTF-8.
        OSError: it cannot be read.
    """
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise InstallError("it is no text in UTF-8") from error


def backup_of(path: Path, name: str) -> Path:
    """Where the file as it was before the server of this name came is kept."""
    return path.with_name(f"{path.name}.{name}.bak")


@contextmanager
def held(path: Path) -> Generator[None]:
    """Nobody else of us changes the file meanwhile; its folder is made if need be."""
    folder = _real(path).parent
    folder.mkdir(parents=True, exist_ok=True)
    with folder_lock(folder):
        yield


def require_writable(path: Path) -> None:
    """Renaming a draft would get past the bits that somebody has set to keep a file as it is.

    Raises:
        InstallError: it is read-only.
    """
    if path.exists() and not (path.stat().st_mode & WRITABLE and os.access(path, os.W_OK)):
        raise InstallError("it is read-only; make it writable first")


def write(path: Path, text: str) -> None:
    """Write a file in one step, where its links lead to; it keeps its permissions."""
    real = _real(path)
    mode = real.stat().st_mode & 0o7777 if real.exists() else FILE_MODE
    with draft_of(real) as draft:
        write_private(draft, text.encode("utf-8"))
        draft.chmod(mode)
        draft.replace(real)


def remove(path: Path) -> None:
    """Delete a file, where its links lead to."""
    _real(path).unlink(missing_ok=True)


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))
