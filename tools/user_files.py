"""Files of the user: only those below the readable folders, after symlinks, and none that is ours or the system's."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from ..config.load import user_file
from ..config.settings import Settings
from .errors import ToolFailure, unknown

MAX_LISTED = 200
MAX_NAMED = 8
# What the kernel shows as files: processes with their environments, devices, memory.
OF_THE_SYSTEM = ("/proc", "/sys", "/dev")
SQLITE = "sqlite:///"
OF_FEAST = ("registry.db", "online.db", "feature_store.yaml")
DATABASE_ENDS = ("", "-wal", "-shm", "-journal")


def readable(settings: Settings, path: str, is_wanted: Callable[[Path], bool] = Path.is_file) -> Path:
    """The resolved path of a file that tools may read, or of a folder that `is_wanted`.

    Raises:
        ToolFailure: it lies outside the roots or is private, does not exist, is another folder, or is no path at all.
    """
    named, roots = path.removeprefix("file:"), settings.roots
    if not named.strip():
        raise ToolFailure("an empty path", f"Pass the path of a file below {_listed(roots)}.")
    try:
        source = Path(named).expanduser().resolve()
        if not _below(source, roots):
            raise ToolFailure(f"{path[:200]!r} lies outside the readable folders", f"Readable: {_listed(roots)}.")
        require_public(settings, source)
        if source.is_file() or (not _holds_state(settings, source) and is_wanted(source)):
            return source
        raise _no_file(settings, path[:200], source)
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ToolFailure(f"{path[:200]!r} cannot be read: {reason}", "Pass the path of a file.") from error


@contextmanager
def held(source: Path) -> Generator[BinaryIO]:
    """A file that `readable` has found, open to be read. It may be another one by now.

    Whoever may write into its folder may put a link, or a pipe, in its place between a look and a read; once it is
    open that changes nothing any more.

    Raises:
        ToolFailure: it is no file any more, or lies elsewhere.
        OSError: it cannot be opened.
    """
    flags = os.O_NOFOLLOW | os.O_NONBLOCK
    with open(source, "rb", opener=lambda path, usual: os.open(path, usual | flags)) as file:
        found = os.fstat(file.fileno())
        here = source.resolve() == source and os.path.samestat(found, os.lstat(source))
        if not (here and stat.S_ISREG(found.st_mode)):
            raise ToolFailure(f"{str(source)[:200]!r} has been replaced while it was opened", "Pass its path again.")
        yield file


def content_of(source: Path) -> bytes:
    """All of a file; errors as of `held`."""
    with held(source) as file:
        return file.read()


def require_public(settings: Settings, source: Path) -> None:
    """Refuse what no tool reads, whoever has named it: keys, databases and settings of ours, and the kernel's files.

    Args:
        source: an absolute path after symlinks.

    Raises:
        ToolFailure: it is private.
    """
    opened = settings.open_folders
    if _below(source, _private(settings)) and not _below(source, opened):
        raise ToolFailure(
            f"{str(source)[:200]!r} is private: no tool reads the system's own files, or keys, databases and settings "
            "of this server",
            f"Of its state folder these are read: {', '.join(map(str, opened))}.",
        )


def _private(settings: Settings) -> list[Path]:
    stores = (settings.tracking_uri, settings.study_storage)
    databases = [Path(uri.removeprefix(SQLITE)) for uri in stores if uri.startswith(SQLITE)]
    beside = [Path(f"{file}{end}") for file in databases for end in DATABASE_ENDS]
    feast = [Path(f"{settings.feast_home / name}{end}") for name in OF_FEAST for end in DATABASE_ENDS]
    ours = (settings.home, settings.bentoml_home, user_file(os.environ), *feast, *beside)
    return [*map(Path, OF_THE_SYSTEM), *(each.expanduser().resolve() for each in ours)]


def _no_file(settings: Settings, path: str, source: Path) -> ToolFailure:
    if source.is_dir():
        inside = sorted(item.name for item in _files_in(settings, source))
        names = f"{', '.join(inside[:MAX_NAMED])}{' …' if len(inside) > MAX_NAMED else ''}"
        return ToolFailure(f"{path!r} is a folder", f"Pass a file in it: {names}." if inside else "It has no files.")
    near = source.parent
    beside = _files_in(settings, near) if _below(near, settings.roots) and near.is_dir() else ()
    return unknown("file", path, map(str, beside))


def _holds_state(settings: Settings, folder: Path) -> bool:
    """Whether to read all of a folder would be to read what is private, or to walk through the whole system."""
    return any(private.is_relative_to(folder) for private in (settings.home.resolve(), *map(Path, OF_THE_SYSTEM)))


def _below(path: Path, roots: Iterable[Path]) -> bool:
    return any(path.is_relative_to(root) for root in roots)


def _files_in(settings: Settings, folder: Path) -> Iterable[Path]:
    """Those that may be read, by their names; links may lead elsewhere."""
    hidden = [private for private in _private(settings) if private.is_relative_to(folder)]
    return islice((item for item in folder.iterdir() if item.is_file() and item not in hidden), MAX_LISTED)


def _listed(roots: Sequence[Path]) -> str:
    return f"{', '.join(map(str, roots))} (data.roots, serve --root DIR)"
