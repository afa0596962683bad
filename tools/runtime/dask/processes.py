"""What a Dask worker does for a pool: it puts questions to processes of its own and ends those that are not wanted."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, Pipe
from typing import TYPE_CHECKING

from .. import proctree
from ..pool import Died

if TYPE_CHECKING:
    from distributed import Worker

MEMBER = "mlops_mcp.tools.runtime.dask.pool_process"
LOOK_EVERY_S = 0.2
# The attribute of a worker that holds the members on it.
MEMBERS = "mlops_members"
# How a member ends that had nothing to do for long.
RESTED = 0


class Unwanted(Exception):
    """Nobody waits for the answer any more, or not from this worker."""


@dataclass(frozen=True)
class Errand:
    """What members are for: a pool's mark, the function of its job and its settings as `stored`, the subject's file."""

    mark: str
    settings: str
    function: str
    subject: str


def answer(errand: Errand, question: bytes) -> bytes:
    """Have one question answered by a member on this worker: what came of it, pickled."""
    from distributed import Reschedule, get_worker

    worker = get_worker()
    key = worker.get_current_task()
    worker.log_event(errand.mark, [key, worker.address])
    try:
        return _members_of(worker).answer(errand, question, lambda: executes(worker, str(key)))
    except Unwanted:  # by whoever has gone; a worker that closes leaves it to another one
        raise Reschedule from None


async def dismiss(mark: str, dask_worker: Worker) -> None:
    """End the members of a pool on a worker; a coroutine, since for others Dask waits."""
    _members_of(dask_worker).dismiss(mark)


def executes(worker: Worker, key: str) -> bool:
    """Whether a task is still wanted: the scheduler forgets those of a client that is gone, and tells its workers."""
    task = worker.state.tasks.get(key)
    return task is not None and task.state in ("executing", "long-running")


def _members_of(worker: Worker) -> Members:
    members: Members = vars(worker).setdefault(MEMBERS, Members())
    return members


@dataclass
class Member:
    """A process on this worker that answers one question after the other."""

    mark: str
    process: subprocess.Popen[bytes]
    connection: Connection

    @classmethod
    def of(cls, errand: Errand) -> Member:
        mark = f"{errand.mark}@{uuid.uuid4().hex}"
        ours, theirs = Pipe()
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", MEMBER, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PYTHONUNBUFFERED": "1", proctree.MARK: mark},
                start_new_session=True,
            )
        ours.send(errand)
        return cls(mark, process, ours)

    def answer(self, question: bytes, wanted: Callable[[], bool]) -> bytes | int:
        """What it says; how it ended, if it did so instead. Raises Unwanted."""
        try:
            self.connection.send_bytes(question)
            while not self.connection.poll(LOOK_EVERY_S):
                if self.process.poll() is not None:
                    return self.end()
                if not wanted():
                    self.end()
                    raise Unwanted
            return self.connection.recv_bytes()
        except (EOFError, OSError):
            return self.end()

    def end(self) -> int:
        """Kill it and all that it started; its exit code."""
        # One that ends by itself says why, and its connection may close first.
        code = self.process.poll()
        proctree.kill(self.mark)
        self.connection.close()
        return self.process.wait() if code is None else code


@dataclass
class Members:
    """Those on one worker, of all pools; `idle` ones wait for the next question of theirs."""

    idle: dict[str, list[Member]] = field(default_factory=dict[str, list[Member]])
    gone: set[str] = field(default_factory=set[str])
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, errand: Errand, question: bytes, wanted: Callable[[], bool]) -> bytes:
        while waiting := self._take(errand.mark):
            # One that had nothing to do may have ended meanwhile, whatever of.
            if isinstance(said := waiting.answer(question, wanted), bytes):
                return self._kept(errand.mark, waiting, said)
            if said != RESTED:
                return pickle.dumps(Died(said))
        member = Member.of(errand)
        said = member.answer(question, wanted)
        return self._kept(errand.mark, member, said) if isinstance(said, bytes) else pickle.dumps(Died(said))

    def dismiss(self, mark: str) -> None:
        with self.lock:
            self.gone.add(mark)
            dismissed = self.idle.pop(mark, [])
        for member in dismissed:
            member.end()

    def _take(self, mark: str) -> Member | None:
        with self.lock:
            waiting = self.idle.get(mark)
            return waiting.pop() if waiting else None

    def _kept(self, mark: str, member: Member, said: bytes) -> bytes:
        with self.lock:
            if wanted := mark not in self.gone:
                self.idle.setdefault(mark, []).append(member)
        if not wanted:
            member.end()
        return said
