"""Processes that may outlive whoever starts them: in a session of their own, and with a log as their streams."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import psutil

from .platforms import any_child_ended

LOG_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND
LOG_MODE = 0o600
SHOWN_S, LOOK_S = 10.0, 0.0005


def spawn(module: str, *arguments: str, environment: Mapping[str, str], log: Path) -> int:
    """Start `python -m module` with this environment and nothing else of ours; its process id."""
    return spawn_program([sys.executable, "-P", "-m", module, *arguments], environment, log)


def spawn_program(command: list[str], environment: Mapping[str, str], log: Path) -> int:
    """The same of any program, which the command names by its path."""
    # Not subprocess: its object would have to be kept and waited for, and this process may end first.
    pid = os.posix_spawn(
        command[0],
        command,
        environment,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), LOG_FLAGS, LOG_MODE),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )
    if environment:
        _await_environment(pid)
    return pid


def _await_environment(pid: int) -> None:
    """For a moment after execve(2) a process shows none, and whoever knows it by a variable would take it for dead."""
    deadline = time.monotonic() + SHOWN_S
    with contextlib.suppress(psutil.Error):
        while not psutil.Process(pid).environ() and time.monotonic() < deadline:
            time.sleep(LOOK_S)


def take_streams(log: Path) -> None:
    """Give this process, which was forked instead, the streams of one that was spawned."""
    for descriptor, path, flags in ((0, os.devnull, os.O_RDONLY), (1, str(log), LOG_FLAGS), (2, str(log), LOG_FLAGS)):
        opened = os.open(path, flags, LOG_MODE)
        os.dup2(opened, descriptor)
        os.close(opened)


def open_standard_streams() -> None:
    """Give a process that was started with closed ones something that reads as empty and takes all.

    Otherwise the next file it opens is what others write their errors to.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    if sys.stderr is None:  # pyright: ignore[reportUnnecessaryComparison]
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


def has_ended(pid: int) -> bool:
    """Whether a child has ended; asking keeps it from staying behind as a zombie."""
    try:
        return os.waitpid(pid, os.WNOHANG) != (0, 0)
    except ChildProcessError:
        return True


def reap_adopted() -> None:
    """Let detached processes go that have ended and were left to this one: it may be the first of a container.

    Of its children only they have a session of their own; the others are waited for by whoever started them.
    """
    if not any_child_ended():
        return
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error, OSError):
            if os.getsid(child.pid) != os.getsid(0):
                has_ended(child.pid)
