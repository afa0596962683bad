"""Run a piece of work in a child process, pass on what it says, and end it with all it started when it must end.

The parent does nothing else, so it answers however long a library holds the interpreter of the child.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import math
import os
import re
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection, Pipe

import psutil

from ... import platforms
from ...tracing.span import Carrier
from .. import proctree
from ..limits import die_with_parent
from ..models import Budget
from ..outcome import outcome_of
from .channel import JobChannel
from .table import End

TICK_S = 0.1
MEASURE_EVERY_S = 0.5
# A job that watches its time itself ends in order; it gets this much longer for its last step.
GRACE_S = 10.0
LEAVE_S = 2.0
BEGAN, PACED, ENDED = "began", "paced", "ended"
OUT_OF_MEMORY = re.compile(r"bad_alloc|MemoryError|Cannot allocate memory|Unable to allocate", re.IGNORECASE)


@dataclass(frozen=True)
class ProcessDied:
    """The child ended without a word, by a signal (negative) or an exit code; `words` are the end of its log."""

    code: int
    words: str = ""

    def __str__(self) -> str:
        try:
            cause = f"exit code {self.code}" if self.code >= 0 else signal.Signals(-self.code).name
        except ValueError:
            cause = f"signal {-self.code}"
        return f"its process died ({cause}). {self.words[-300:]}".strip()


Run = Callable[[Carrier, JobChannel], End | ProcessDied]


class Child:
    """A child process that runs `work(carrier, connection)` as soon as it is told where its spans belong.

    Made by fork, so before there is any thread. `mark` is what the environment of the child carries, and of all that
    it starts; what it sends is `[kind, text]` as JSON and at last `["ended", End as JSON]`.
    """

    def __init__(self, work: Callable[[Carrier, Connection], None], mark: str) -> None:
        self._mark = mark
        self._pipe, theirs = Pipe()
        parent = os.getpid()
        self._pid = os.fork()
        if not self._pid:
            self._pipe.close()
            _be_the_child(work, theirs, parent)
        theirs.close()

    def run(self, carrier: Carrier, channel: JobChannel, budget: Budget, log: Callable[[], str]) -> End | ProcessDied:
        """Let the work go on and return how it ended, with no process of it left.

        Args:
            log: the last words of the job, asked when it died.
        """
        with contextlib.suppress(BrokenPipeError):  # it is dead already, which is noticed below
            self._pipe.send_bytes(json.dumps(asdict(carrier)).encode())
        end: End | None = None
        try:
            end = _Watch(self._pipe, channel, budget, self._pid, self._mark).until_the_end()
        finally:
            by_itself = end is not None and end.state != "cancelled" and end.fault != "budget"
            code = _gone(self._pid, self._mark, LEAVE_S if by_itself else 0)
            # Left to the garbage collector, it would close what has its number in the keeper that is forked next.
            self._pipe.close()
        if end is None and not channel.control(now=True).wanted:
            return End("cancelled")
        return end or _without_a_word(code, log())


def _be_the_child(work: Callable[[Carrier, Connection], None], connection: Connection, parent: int) -> None:
    try:
        die_with_parent()
        if os.getppid() == parent:
            carrier = Carrier(**json.loads(connection.recv_bytes()))
            if crash := outcome_of(lambda: work(carrier, connection)).crash:
                print(crash.traceback, file=sys.stderr, flush=True)
        # Temporary folders of libraries go here, as at the end of any process.
        atexit._run_exitfuncs()  # pyright: ignore[reportPrivateUsage]
        sys.stdout.flush()
    finally:
        os._exit(0)


def _without_a_word(code: int, words: str) -> End | ProcessDied:
    # Whoever gives up for want of memory ends himself; a library that got by has said so too.
    if (code > 0 or code == -signal.SIGABRT) and OUT_OF_MEMORY.search(words):
        said = f"the memory limit was reached. Use fewer rows or columns. {words[-300:]}"
        return End("failed", error=said, fault="memory")
    return ProcessDied(code, words)


class _Watch:
    def __init__(self, pipe: Connection, channel: JobChannel, budget: Budget, child: int, mark: str) -> None:
        self._pipe = pipe
        self._channel = channel
        self._budget = budget
        self._child = child
        self._mark = mark
        # What a process imports before it comes to its work is not on the caller's budget.
        self._began = math.inf
        self._measured = time.monotonic()
        self._paced = False

    def until_the_end(self) -> End | None:
        """The outcome; None when the child died without one."""
        while True:
            # Looked at before the pipe: what it says is then the last that it has said. The end of the pipe tells
            # less, since a child that it forked may hold that open.
            lives = self._lives()
            try:
                end = self._listen() or self._limits()
            except (EOFError, OSError):  # also half a message, when it was killed in the middle of it
                return None
            if end is not None or not lives:
                return end

    def _listen(self) -> End | None:
        """Take what was said until there is nothing for a moment."""
        while self._pipe.poll(TICK_S):
            kind, text = json.loads(self._pipe.recv_bytes())
            if kind == ENDED:
                return End(**json.loads(text))
            self._hear(kind, text)
            if (end := self._limits()) is not None:
                return end
        return None

    def _lives(self) -> bool:
        return platforms.child_lives(self._child)

    def _hear(self, kind: str, text: str) -> None:
        if kind == BEGAN:
            self._began = time.monotonic()
        elif kind == PACED:
            self._paced = True
        else:
            self._channel.note(kind, text)

    def _limits(self) -> End | None:
        control = self._channel.control()
        if not control.wanted:
            return End("cancelled")
        if control.answers:
            self._pipe.send_bytes(control.answers.encode())
        return self._over_time() or self._over_memory()

    def _over_time(self) -> End | None:
        allowed = self._budget.seconds
        if allowed is None or time.monotonic() - self._began < allowed + (GRACE_S if self._paced else 0):
            return None
        return End("failed", error=f"the budget of {allowed:g} s was used up", fault="budget")

    def _over_memory(self) -> End | None:
        allowed, now = self._budget.megabytes, time.monotonic()
        if allowed is None or now - self._measured < MEASURE_EVERY_S:
            return None
        self._measured = now
        used = _megabytes(self._mark)
        # What one that ends meanwhile has shared is counted twice, so a second look decides.
        if used <= allowed or (used := _megabytes(self._mark)) <= allowed:
            return None
        return End("failed", error=f"the job used {used} MB of a budget of {allowed} MB", fault="budget")


def _megabytes(mark: str) -> int:
    """Memory of all processes of a job but its keeper; what some of them share counts once."""
    total = 0
    for process in proctree.marked(mark):
        if process.pid != os.getpid():
            with contextlib.suppress(psutil.Error):
                total += platforms.own_memory(process)
    return total >> 20


def _gone(child: int, mark: str, wait_s: float) -> int:
    """Let the child leave by itself, kill all that is left after that, and return its exit code."""
    process = psutil.Process(child)
    platforms.await_end(child, wait_s)
    with contextlib.suppress(psutil.TimeoutExpired):
        process.wait(0)
    proctree.kill(mark, spare=os.getpid())
    return int(process.wait() or 0)
