"""A forked process made as one that was started by a command: nothing is left of what it was forked from but code."""

from __future__ import annotations

import multiprocessing.process
import os
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from io import TextIOWrapper
from multiprocessing import forkserver, resource_tracker
from pathlib import Path
from typing import Any, NoReturn, cast

from ..detached import take_streams

FIRST_DESCRIPTOR = 3


def start_afresh(log: Path, environment: Mapping[str, str], path: Sequence[str]) -> None:
    """Take streams, environment and import path; forget children, signals and random state of another process."""
    take_streams(log)
    # As with PYTHONUNBUFFERED, which a process that was not started anew does not see.
    cast(TextIOWrapper, sys.stdout).reconfigure(line_buffering=True)
    _forget_ancestors()
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:] = path
    tempfile.tempdir = None  # it is looked for where these variables say


def close_descriptors() -> None:
    """All but the standard streams."""
    os.closerange(FIRST_DESCRIPTOR, os.sysconf("SC_OPEN_MAX"))


def leave(code: int) -> NoReturn:
    """End here, never to return to what this process was forked from."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    finally:  # also on a full disk
        os._exit(code)


def _forget_ancestors() -> None:
    """Let libraries find a main process with nothing inherited: multiprocessing, signals, random numbers."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    signal.set_wakeup_fd(-1)
    ours: Any = multiprocessing.process
    main = next(kind for kind in ours.BaseProcess.__subclasses__() if kind.__name__ == "_MainProcess")
    ours._current_process, ours._parent_process, ours._children = main(), None, set()
    servers: Any = forkserver
    servers._forkserver._forkserver_alive_fd = servers._forkserver._forkserver_pid = None
    trackers: Any = resource_tracker
    trackers._resource_tracker._fd = trackers._resource_tracker._pid = None
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed()
