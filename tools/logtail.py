"""The log of a process: its last words, and a bound on its size."""

from __future__ import annotations

import os
from pathlib import Path

CHARACTERS = 600
MAX_BYTES, KEPT_BYTES = 8 << 20, 1 << 20


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


def shorten(path: Path, max_bytes: int = MAX_BYTES, kept_bytes: int = KEPT_BYTES) -> None:
    """Cut a log that has grown too long down to its end; whoever appends to it goes on there."""
    try:
        with path.open("r+b") as log:
            size = os.fstat(log.fileno()).st_size
            if size > max_bytes:
                end = os.pread(log.fileno(), kept_bytes, size - kept_bytes)
                os.pwrite(log.fileno(), end, 0)
                os.ftruncate(log.fileno(), len(end))
    except FileNotFoundError:
        return
