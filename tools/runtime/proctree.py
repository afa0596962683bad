"""Find and end every process of a job, however it was started."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Mapping

import psutil

from ..platforms import environment_block

MARK = "MLOPS_JOB_MARK"
# Twenty characters of a job's id, a point and two digits of its attempt.
BLANK = "0" * 23
# Room in the environment of the template for what else its children are known by, such as the path of a folder.
ROOM, ROOM_BLANK = "MLOPS_SHOWN", "0" * 1024


def mark_self(mark: str) -> bool:
    """Write the mark over the one that this process was born with; False when there is no room for it.

    A process that was forked without an exec shows the environment of its ancestor, whatever `putenv` says.
    """
    place = _place_of(MARK)
    if place is None or place[1] != len(mark):
        return False
    ctypes.memmove(place[0], mark.encode(), len(mark))
    return psutil.Process().environ().get(MARK) == mark


def show(variables: Mapping[str, str]) -> bool:
    """Write these over the room that this process was born with; False when there is not enough of it."""
    text = b"".join(f"{name}={value}\0".encode() for name, value in variables.items())
    place, name = _place_of(ROOM), f"{ROOM}=".encode()
    if place is None or place[1] < len(text):
        return False
    start, size = place[0] - len(name), place[1] + len(name)
    # What is left of the room keeps its name, which follows what is shown.
    ctypes.memmove(start, text + name + b"0" * (size - len(text) - len(name)), size)
    known = psutil.Process().environ()
    return all(known.get(name) == value for name, value in variables.items())


def _place_of(variable: str) -> tuple[int, int] | None:
    """Where the value of a variable stands in the block that the kernel shows, and how long it is."""
    start, end = environment_block()
    name = f"{variable}=".encode()
    for entry in ctypes.string_at(start, end - start).split(b"\0") if start else ():
        if entry.startswith(name):
            return start + len(name), len(entry) - len(name)
        start += len(entry) + 1
    return None


def marked(mark: str, variable: str = MARK) -> list[psutil.Process]:
    """All live processes that carry the mark in their environment.

    Process groups and parent links miss children in a session of their own and double forks; the
    environment is inherited by all of them.
    """
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        try:
            # In this order: nearly all are others, and to ask for the state of each costs more than all else here.
            if process.environ().get(variable) == mark and process.status() != psutil.STATUS_ZOMBIE:
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
