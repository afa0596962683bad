"""Models of MLflow's python_function as models of ours: kept whole as one file, and asked in a process of their own.

Their code is their maker's, and pickles run as they are opened. So the file opens under the seal of this installation
alone, and the process (`box.py`) is held by the kernel: no files but its own, no sockets, no other processes, and only
so much memory and time.
"""

from __future__ import annotations

import fcntl
import os
import pickle
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
import time
import weakref
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from io import BytesIO
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field, ValidationError

from ..errors import ToolFailure
from ..landlock import confines_tcp
from ..legible import legible
from ..locks import is_locked
from ..runtime.limits import quiet_environment, thread_environment
from ..runtime.proctree import MARK
from ..seccomp import isolates
from ..storage.state_files import open_private
from . import box
from .pyfunc import Answers, as_shares, lay_out

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

MEMORY_MB = 4096
# To start, with its libraries on a busy machine; and to answer.
START_S, ANSWER_S = 300.0, 120.0
MAX_SAID = 1 << 20
PREFIX, LOCK, FRESH_S = "mlops-mcp-model-", "lock", 60.0
MAX_BYTES, MAX_FILES = 2 << 30, 10_000
THREADS = 1
KEPT = ("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TZ", MARK)
# Zip knows no earlier day; the same files are the same bytes whenever they are packed.
DAY = (1980, 1, 1, 0, 0, 0)
HINT = "Ask whoever made it, or train one with train_model."


class Boxed:
    """A model that answers out of its box, as a pipeline does. `answers` is what it was found to give."""

    def __init__(
        self, content: bytes, names: Sequence[str] = (), classes: Sequence[Any] = (), answers: Answers = "numbers"
    ) -> None:
        self.content, self.names, self.classes, self.answers = content, list(names), list(classes), answers

    def predict(self, rows: pd.DataFrame) -> np.ndarray:
        """One number a row, of two classes or more the place of the likeliest; shape (rows,).

        Raises:
            ToolFailure: what it has done instead of answering.
        """
        return self.predict_proba(rows).argmax(axis=1) if self.classes else self._numbers("number", rows, 1)[:, 0]

    def predict_proba(self, rows: pd.DataFrame) -> np.ndarray:
        """Shape (rows, classes); errors as of `predict`."""
        try:
            return as_shares(self._numbers("shares", rows, len(self.classes)))
        except ValueError as error:
            raise ToolFailure(str(error), HINT) from error

    def said(self, rows: pd.DataFrame) -> dict[str, Any]:
        """What kind of answers it gives (`pyfunc.PyFunc.said`)."""
        told = self._told("said", rows, MAX_SAID)
        try:
            return _Said.model_validate_json(told.removeprefix(box.SAID)).model_dump()
        except ValidationError as error:
            raise _strange() from error

    def _numbers(self, question: str, rows: pd.DataFrame, width: int) -> np.ndarray:
        import numpy as np

        size = len(rows) * width * 8
        told = self._told(question, rows, size + 1)
        if told[:1] != box.NUMBERS or len(told) != size + 1:
            raise _strange()
        found = np.frombuffer(told, "<f8", offset=1).reshape(len(rows), width)
        if not np.isfinite(found).all():
            raise _strange()
        return found

    def _told(self, question: str, rows: pd.DataFrame, at_most: int) -> bytes:
        asked = pickle.dumps((question, rows, (self.names, self.classes, self.answers)), protocol=5)
        return _child_of(self.content, os.getpid()).ask(asked, at_most)


class _Said(BaseModel, strict=True):
    """As `pyfunc.PyFunc.said` says it, unless it is the code of the model that speaks."""

    texts: bool
    whole: bool
    width: int = Field(ge=1)
    names: list[str]
    labels: list[str]


class Child:
    """The process of one model; it is started when it is asked, again when it has died, and ends with its asker."""

    def __init__(self, content: bytes) -> None:
        require_boxes()
        _clear_what_is_left()
        self._folder = tempfile.mkdtemp(prefix=PREFIX)
        held = open_private(Path(self._folder, LOCK))
        fcntl.flock(held, fcntl.LOCK_EX)
        self._process: subprocess.Popen[bytes] | None = None
        self._line: Connection | None = None
        self._lock = threading.Lock()
        self._forget = weakref.finalize(self, _take_away, self._folder, held, os.getpid())
        lay_out(content, Path(self._folder, "model"))

    def ask(self, question: bytes, at_most: int) -> bytes:
        """Raises ToolFailure if it fails, dies, or takes too long."""
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._start()
            told = self._exchanged(question, max(at_most, box.MAX_ERROR * 4 + 1), ANSWER_S)
        if told[:1] == box.FAILED:
            text = legible(told[1:].decode(errors="replace"))[: box.MAX_ERROR]
            raise ToolFailure(f"the model failed in its own code: {text}", HINT)
        return told

    def _start(self) -> None:
        scratch = Path(self._folder, "scratch")
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        self._line, theirs = Pipe()
        given = (os.getpid(), theirs.fileno(), Path(self._folder, "model"), scratch, MEMORY_MB)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", box.__name__, *map(str, given)],
                cwd=scratch,
                env=_environment(scratch),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        weakref.finalize(self, _end, self._process, os.getpid())
        if self._exchanged(b"", 1, START_S) != box.READY:
            raise _strange()

    def _exchanged(self, question: bytes, at_most: int, wait_s: float) -> bytes:
        """What it answers; a process that does not in time is killed, which ends the reading as well."""
        process, line, late = self._process, self._line, threading.Event()
        assert process is not None
        assert line is not None
        watch = threading.Timer(wait_s, _kill, (process, late))
        watch.daemon = True
        watch.start()
        try:
            if question:
                line.send_bytes(question)
            return line.recv_bytes(at_most)
        except (EOFError, OSError) as error:
            process.kill()
            code = process.wait()
            why = (
                f"did not answer within {wait_s:g} s" if late.is_set() else f"ended or said too much (exit code {code})"
            )
            raise ToolFailure(f"the process of the model {why}", HINT) from error
        finally:
            watch.cancel()


@lru_cache(maxsize=1)
def _child_of(content: bytes, process: int) -> Child:
    """That of the model which was asked last; one that was forked meanwhile has a child of its own."""
    return Child(content)


def packed(folder: Path) -> bytes:
    """All that lies in the folder of a model, as one file.

    Raises:
        ToolFailure: it is too large, or leads elsewhere.
    """
    files = list(_files(folder))
    if len(files) > MAX_FILES or sum(file.stat().st_size for file in files) > MAX_BYTES:
        raise ToolFailure(f"the model has more than {MAX_FILES} files or {MAX_BYTES >> 20} MB", HINT)
    target = BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            entry = zipfile.ZipInfo(file.relative_to(folder).as_posix(), DAY)
            entry.compress_type = zipfile.ZIP_DEFLATED
            with file.open("rb") as source, archive.open(entry, "w", force_zip64=True) as kept:
                shutil.copyfileobj(source, kept)
    return target.getvalue()


def require_boxes() -> None:
    """Raises ToolFailure where the kernel cannot hold a process that runs code of others."""
    if not (confines_tcp() and isolates()):
        raise ToolFailure(
            "a model of python_function is code of its maker, and this system has no Landlock (Linux 6.7 or later, on "
            "x86-64 or arm64) that would keep it from files and addresses, so it is not run",
            "Run the server on such a system, or train a model with train_model.",
        )


def _files(folder: Path) -> Iterator[Path]:
    inside = folder.resolve()
    for file in sorted(folder.rglob("*")):
        if file.is_symlink() or not file.resolve().is_relative_to(inside):
            raise ToolFailure(f"the folder of the model holds a link, {file.name[:100]!r}", "Log it again.")
        if file.is_file():
            yield file


def _environment(scratch: Path) -> dict[str, str]:
    """No secret, and nothing that says where this installation lies."""
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    own = dict.fromkeys(("HOME", "TMPDIR", "MPLCONFIGDIR", "XDG_CACHE_HOME"), str(scratch))
    tracking = {"MLFLOW_TRACKING_URI": f"sqlite:///{scratch}/none.db", "USER": "model", "PYTHONDONTWRITEBYTECODE": "1"}
    return {**kept, **quiet_environment(), **thread_environment(THREADS), **own, **tracking}


def _end(process: subprocess.Popen[bytes], owner: int) -> None:
    if os.getpid() == owner and process.poll() is None:
        process.kill()
        process.wait()


def _kill(process: subprocess.Popen[bytes], late: threading.Event) -> None:
    late.set()
    process.kill()


def _take_away(folder: str, held: int, owner: int) -> None:
    """One that was forked meanwhile leaves what is not its own."""
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(held)


def _clear_what_is_left() -> None:
    """Of processes that were killed: the folders of ours whose lock nobody holds."""
    for lock in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/{LOCK}"):
        with suppress(OSError):
            found, us = os.lstat(lock.parent), os.getuid()
            ours = stat.S_ISDIR(found.st_mode) and found.st_uid == us and not lock.is_symlink()
            # A younger one may be about to be locked.
            if ours and time.time() - found.st_mtime > FRESH_S and not is_locked(lock):
                shutil.rmtree(lock.parent, ignore_errors=True)


def _strange() -> ToolFailure:
    return ToolFailure("the process of the model answered something else than it was asked for", HINT)
