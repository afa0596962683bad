"""A number in a file of its own, which needs no database to be written.

It is written over in place, so that it can be even on a full disk.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from .state_files import open_private

DIGITS = 18


def prepare(path: Path) -> None:
    """Make the file while there is room for it. Raises OSError."""
    if not path.exists():
        add(path, 0)


def add(path: Path, number: int) -> None:
    """Count so many more. Raises OSError."""
    descriptor = open_private(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        total = _number(os.pread(descriptor, DIGITS, 0)) + number
        os.pwrite(descriptor, f"{total:0{DIGITS}d}\n".encode(), 0)
    finally:
        os.close(descriptor)


def count(path: Path) -> int:
    """How many there have been since the file was made; 0 where it cannot be read."""
    try:
        with path.open("rb") as file:
            return _number(file.read(DIGITS))
    except OSError:
        return 0


def _number(text: bytes) -> int:
    return int(text) if text.isdigit() else 0
