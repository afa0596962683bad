"""Files of the user: only those below the configured roots, after symlinks, may be read."""

from __future__ import annotations

from pathlib import Path

from ..config.settings import Settings
from .errors import ToolFailure, unknown

MAX_LISTED = 200


def readable(settings: Settings, path: str) -> Path:
    """The resolved path of a file that tools may read.

    Raises:
        ToolFailure: it lies outside the roots, does not exist, or is no path at all.
    """
    try:
        source = Path(path.removeprefix("file:")).expanduser().resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise ToolFailure(f"{path[:200]!r} is no path: {error}", "Pass the path of a file.") from error
    roots = settings.roots
    if not any(source.is_relative_to(root) for root in roots):
        listed = ", ".join(map(str, roots))
        raise ToolFailure(f"{path[:200]!r} lies outside the readable folders", f"Readable: {listed} (data.roots).")
    if not source.is_file():
        raise unknown("file", path[:200], (str(item) for item in _files_beside(source)))
    return source


def _files_beside(path: Path) -> list[Path]:
    return [item for item in path.parent.iterdir() if item.is_file()][:MAX_LISTED] if path.parent.is_dir() else []
