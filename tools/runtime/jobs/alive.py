"""Is the process of a job alive? It is while it holds a POSIX record lock on the job's file.

Unlike `flock`, the lock is not inherited by a forked child, so a child that outlives its job does
not keep the job alive; unlike a process id, it cannot be reused by another process.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from ... import platforms
from ...storage.state_files import open_private


def hold(path: Path) -> int:
    """Take the lock for the rest of the process. Never open the file again here: closing it would drop the lock."""
    descriptor = open_private(path)
    fcntl.lockf(descriptor, fcntl.LOCK_EX)
    return descriptor


def held(path: Path) -> bool:
    """Whether a process holds the lock, also one of another container that shares the folder."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return platforms.is_held(descriptor)
    finally:
        os.close(descriptor)


def machine() -> str:
    """The running kernel, within which these locks are seen: a container shares it, a reboot ends it."""
    return platforms.boot()
