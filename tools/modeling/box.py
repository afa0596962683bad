"""The process that a model of MLflow's python_function runs in: it reaches its own files and one pipe.

Everything of ours is imported first, so that what is left to be reached afterwards is little.
"""

from __future__ import annotations

import json
import pickle
import resource
import sys
from functools import partial
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path

from ..landlock import Reach, confine, needed_to_run
from ..runtime.limits import die_with_parent, limit_memory, memory_mb
from ..runtime.outcome import Outcome, outcome_of
from ..seccomp import isolate
from .pyfunc import PyFunc

READY, NUMBERS, SAID, FAILED = b"r", b"n", b"s", b"f"
MAX_ERROR = 400
MAX_FILE = 256 << 20
# Of the system nothing but what runs code: who has an account here is no business of a model.
CLOSED = ("/etc", "/run", "/proc", "/sys", "/opt")
OPEN = (
    "/etc/ld.so.cache", "/etc/localtime", "/dev/null", "/dev/zero", "/dev/urandom", "/proc/cpuinfo", "/proc/meminfo",
    "/sys/devices/system/cpu",
)  # fmt: skip


def main(parent: str, descriptor: str, folder: str, scratch: str, megabytes: str) -> None:
    """Answer what is asked on a pipe until it is closed.

    Args:
        folder: of the model, which is only read.
        scratch: what it may write to.
        megabytes: of memory, beyond the libraries.
    """
    die_with_parent(int(parent))
    asked = Connection(int(descriptor))
    for each in ("mlflow.pyfunc", "pandas"):
        import_module(each)
    limit_memory(int(megabytes) + memory_mb()[0])
    resource.setrlimit(resource.RLIMIT_FSIZE, (MAX_FILE, MAX_FILE))
    confine(_reach(Path(folder), Path(scratch)))
    isolate()
    asked.send_bytes(READY)
    box = Box(Path(folder))
    while question := _heard(asked):
        asked.send_bytes(_told(outcome_of(partial(box.answer, question))))


class Box:
    """The model, which is loaded when it is asked for the first time: what it does then is part of its answer."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._model: PyFunc | None = None

    def answer(self, asked: bytes) -> bytes:
        question, rows, about = pickle.loads(asked)
        self._model = model = self._model or PyFunc(self._folder, *about)
        model.names, model.classes, model.answers = about
        if question == "said":
            return SAID + json.dumps(model.said(rows)).encode()
        found = model.predict_proba(rows) if question == "shares" else model.predict(rows)
        return NUMBERS + found.astype("<f8").tobytes()


def _heard(asked: Connection) -> bytes:
    try:
        return asked.recv_bytes()
    except EOFError:
        return b""


def _told(outcome: Outcome) -> bytes:
    if outcome.crash:
        said = f"{outcome.crash.type}: {outcome.crash.message}"
    elif outcome.failure:
        said = str(outcome.failure)
    else:
        return bytes(outcome.value)
    return FAILED + said[:MAX_ERROR].encode(errors="replace")


def _reach(folder: Path, scratch: Path) -> Reach:
    # Python itself may lie below one of them.
    needed = [path for path in needed_to_run() if str(path) not in CLOSED]
    return Reach((*needed, *map(Path, OPEN), folder), (scratch,), tcp=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
