"""How many spans and scores could not be stored, beside their store."""

from __future__ import annotations

from pathlib import Path

from ...storage.counter import add, count, prepare

FILE = "traces.dropped"


def prepare_drops(store: Path) -> None:
    """Make the file while there is room for it. Raises OSError."""
    prepare(store.with_name(FILE))


def add_drops(store: Path, number: int) -> None:
    """Count what was dropped. Raises OSError."""
    add(store.with_name(FILE), number)


def drops(store: Path) -> int:
    """How many were dropped since the file was made; 0 where it cannot be read."""
    return count(store.with_name(FILE))
