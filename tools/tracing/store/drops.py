"""How many spans and scores could not be stored: a number in a file of its own, which needs no database to be written.

It is written over in place, so that it can be even on a full disk.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from ...storage.state_files import open_private

FILE = "traces.dropped"
DIGITS = 18


def prepare_drops(store: Path) -> None:
    """Make the file while there is room for it. Raises OSError."""
    if not store.with_name(FILE).exists():
        add_drops(store, 0)


def add_drops(store: Path, number: int) -> None:
    """Count what was dropped. Raises OSError."""
    descriptor = open_private(store.with_name(FILE))
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        total = _number(os.pread(descriptor, DIGITS, 0)) + number
        os.pwrite(descriptor, f"{total:0{DIGITS}d}\n".encode(), 0)
    finally:
        os.close(descriptor)


def drops(store: Path) -> int:
    """How many were dropped since the file was made; 0 where it cannot be read."""
    try:
        with store.with_name(FILE).open("rb") as file:
            return _number(file.read(DIGITS))
    except OSError:
        return 0


def _number(text: bytes) -> int:
    return int(text) if text.isdigit() else 0
