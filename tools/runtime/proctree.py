"""Find and end every process of a job, however it was started."""

from __future__ import annotations

import ctypes
import time

import psutil

from ..platforms import environment_block

MARK = "MLOPS_JOB_MARK"
# Twenty characters of a job's id, a point and two digits of its attempt.
BLANK = "0" * 23


def mark_self(mark: str) -> bool:
    """Write the mark over the one that this process was born with; False when there is no room for it.

    A process that was forked without an exec shows the environment of its ancestor, whatever `putenv` says.
    """
    start, end = environment_block()
    name = f"{MARK}=".encode()
    for entry in ctypes.string_at(start, end - start).split(b"\0") if start else ():
        if entry.startswith(name) and len(entry) == len(name) + len(mark):
            ctypes.memmove(start + len(name), mark.encode(), len(mark))
            return psutil.Process().environ().get(MARK) == mark
        start += len(entry) + 1
    return False


def marked(mark: str, variable: str = MARK) -> list[psutil.Process]:
    """All live processes that carry the mark in their environment.

    Process groups and parent links miss children in a session of their own and double forks; the
    environment is inherited by all of them.
    """
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and process.environ().get(variable) == mark:
                found.append(process)
        except psutil.Error:
            continue
    return found


def kill(mark: str, variable: str = MARK, wait_s: float = 2.0, spare: int = 0) -> bool:
    """Kill what carries the mark, but for the process `spare`; False when something survived that."""
    deadline = time.monotonic() + wait_s
    while found := [process for process in marked(mark, variable) if process.pid != spare]:
        for process in found:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(found, timeout=0.2)
        if time.monotonic() > deadline:
            return False
    return True
