"""The last words of a process, as it wrote them into its log."""

from __future__ import annotations

import os
from pathlib import Path

CHARACTERS = 600


def tail(descriptor: int, characters: int = CHARACTERS) -> str:
    """The end of an open file, without moving its position."""
    size = os.fstat(descriptor).st_size
    return (
        os.pread(descriptor, 4 * characters, max(0, size - 4 * characters))
        .decode("utf-8", "replace")[-characters:]
        .strip()
    )


def tail_of(path: Path, characters: int = CHARACTERS) -> str:
    """The end of a file; empty when there is none."""
    try:
        with path.open("rb") as log:
            return tail(log.fileno(), characters)
    except FileNotFoundError:
        return ""
