"""The lock of a process for as long as it lives, as `runtime/jobs/alive.py` looks for it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from ...storage.state_files import open_private


def take(path: Path) -> int | None:
    """Its descriptor, for the rest of the process; None if another one holds it."""
    descriptor = open_private(path)
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        os.close(descriptor)
        return None
    return descriptor
