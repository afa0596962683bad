"""Which processes write to a trace store: known by locks on files."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType

from ...locks import is_locked
from ...storage.state_files import open_private

WRITERS = "traces.writers"


class WriterLock:
    """Held by every process that writes to the store, for as long as it does."""

    def __init__(self, store: Path) -> None:
        self._path = store.with_name(WRITERS)
        self._descriptor = -1

    def __enter__(self) -> None:
        self._descriptor = open_private(self._path)
        fcntl.flock(self._descriptor, fcntl.LOCK_SH)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)


def written(store: Path) -> bool:
    """Whether any process has the store open for writing."""
    return is_locked(store.with_name(WRITERS))
