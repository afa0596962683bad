"""Who uses a trace store: any number of writers, and at most one shipper. Both are known by a lock on a file."""

from __future__ import annotations

import fcntl
import os
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType

from ...locks import locked

WRITERS, SHIPPER = "traces.writers", "traces.shipper"
# Whoever only asks holds the lock for a moment.
PATIENCE_S = 0.5


class WriterLock:
    """Held by every process that writes to the store, for as long as it does."""

    def __init__(self, store: Path) -> None:
        self._path = store.with_name(WRITERS)
        self._descriptor = -1

    def __enter__(self) -> None:
        self._descriptor = _open(self._path)
        fcntl.flock(self._descriptor, fcntl.LOCK_SH)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)


def written(store: Path) -> bool:
    """Whether any process has the store open for writing."""
    return _held(store.with_name(WRITERS))


def shipped(store: Path) -> bool:
    """Whether a shipper looks after the store."""
    return _held(store.with_name(SHIPPER))


def leading(store: Path) -> AbstractContextManager[None]:
    """Be the one shipper of the store while the body runs.

    Raises:
        Busy: there is another.
    """
    return locked(store.with_name(SHIPPER), PATIENCE_S, "another process ships the traces")


def _held(path: Path) -> bool:
    if not path.exists():
        return False
    descriptor = _open(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
