"""How a process of an endpoint is recognised: by the mark that its environment bears, with which it was started.

Its number may be another one's by now, and when it was started is told too coarsely to tell two apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

# Beside the code of a service: all that differs between models.
SPEC_FILE = "spec.json"
MARK = "MLOPS_ENDPOINT_MARK"
HOME = "MLOPS_ENDPOINT_HOME"
Running = Mapping[tuple[str, str], Sequence[psutil.Process]]


def mark_of(endpoint: str, identity: str) -> str:
    return f"{endpoint}.{identity}"


def home_of(home: Path) -> str:
    return str(home.resolve())


def lives(pid: int, endpoint: str, identity: str, home: Path) -> bool:
    """Whether a process is alive and bears the mark of a deployment."""
    try:
        process = psutil.Process(pid)
        environment = {} if process.status() == psutil.STATUS_ZOMBIE else process.environ()
    except psutil.Error:
        return False
    return environment.get(MARK) == mark_of(endpoint, identity) and environment.get(HOME) == home_of(home)


def found(home: Path) -> dict[tuple[str, str], list[psutil.Process]]:
    """The live processes of a state folder, by endpoint and deployment."""
    by_mark: dict[tuple[str, str], list[psutil.Process]] = {}
    for process in psutil.process_iter():
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            environment = process.environ()
        except psutil.Error:
            continue
        endpoint, _, identity = environment.get(MARK, "").partition(".")
        if identity and environment.get(HOME) == home_of(home):
            by_mark.setdefault((endpoint, identity), []).append(process)
    return by_mark
