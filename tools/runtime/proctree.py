"""Find and end every process of a job, however it was started."""

from __future__ import annotations

import time

import psutil

MARK = "MLOPS_JOB_MARK"


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


def kill(mark: str, variable: str = MARK, patience_s: float = 2.0, spare: int = 0) -> bool:
    """Kill what carries the mark, but for the process `spare`; False when something survived the patience."""
    deadline = time.monotonic() + patience_s
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
