"""Files of the user: only those below the configured roots, after symlinks, may be read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path

from ..config.settings import Settings
from .errors import ToolFailure, unknown

MAX_LISTED = 200
MAX_NAMED = 8


def readable(settings: Settings, path: str, is_wanted: Callable[[Path], bool] = Path.is_file) -> Path:
    """The resolved path of a file that tools may read, or of a folder that `is_wanted`.

    Raises:
        ToolFailure: it lies outside the roots, does not exist, is another folder, or is no path at all.
    """
    named, roots = path.removeprefix("file:"), settings.roots
    if not named.strip():
        raise ToolFailure("an empty path", f"Pass the path of a file below {_listed(roots)}.")
    try:
        source = Path(named).expanduser().resolve()
        if not _below(source, roots):
            raise ToolFailure(f"{path[:200]!r} lies outside the readable folders", f"Readable: {_listed(roots)}.")
        if source.is_file() or is_wanted(source):
            return source
        raise _no_file(path[:200], source, roots)
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ToolFailure(f"{path[:200]!r} cannot be read: {reason}", "Pass the path of a file.") from error


def _no_file(path: str, source: Path, roots: Sequence[Path]) -> ToolFailure:
    if source.is_dir():
        inside = sorted(item.name for item in _files_in(source))
        names = f"{', '.join(inside[:MAX_NAMED])}{' …' if len(inside) > MAX_NAMED else ''}"
        return ToolFailure(f"{path!r} is a folder", f"Pass a file in it: {names}." if inside else "It has no files.")
    beside = _files_in(source.parent) if _below(source.parent, roots) and source.parent.is_dir() else ()
    return unknown("file", path, map(str, beside))


def _below(path: Path, roots: Sequence[Path]) -> bool:
    return any(path.is_relative_to(root) for root in roots)


def _files_in(folder: Path) -> Iterable[Path]:
    return islice((item for item in folder.iterdir() if item.is_file()), MAX_LISTED)


def _listed(roots: Sequence[Path]) -> str:
    return f"{', '.join(map(str, roots))} (data.roots)"
