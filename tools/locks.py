"""One process at a time: a lock that ends with its holder."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from .errors import ToolFailure
from .storage.state_files import open_private

POLL_S = 0.05


class Busy(ToolFailure):
    """Somebody else holds the lock."""


@contextmanager
def locked(
    path: Path, wait_s: float, busy: str, hint: str = "list_jobs shows what runs; try again when it has ended."
) -> Generator[None]:
    """Hold the lock of a file, which no program that is started meanwhile inherits.

    Raises:
        Busy: somebody else held it all the time.
    """
    descriptor = open_private(path)
    try:
        if not _take(descriptor, time.monotonic() + wait_s):
            raise Busy(busy, hint)
        yield
    finally:
        os.close(descriptor)


def is_locked(path: Path) -> bool:
    """Whether any process holds the lock of a file at the moment."""
    if not path.exists():
        return False
    descriptor = open_private(path)
    try:
        return not _take(descriptor, deadline=0)
    finally:
        os.close(descriptor)


def _take(descriptor: int, deadline: float) -> bool:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(POLL_S)
        else:
            return True
