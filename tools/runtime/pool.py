"""Processes that answer questions about one subject side by side: forked from that of a job, or on a cluster.

Here, the leader is forked while this process has no thread and no library has worked in it. It is then handed the
subject and forks the members, who share its memory; one that dies is replaced by another.
"""

from __future__ import annotations

import contextlib
import gc
import os
import pickle
import signal
import sys
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe, wait
from typing import Any, NoReturn, Protocol

from ..platforms import forks_warm
from ..replica.steps import is_shared
from .limits import die_with_parent, thread_count
from .outcome import Outcome, outcome_of
from .work import Work


class Subject(Protocol):
    """What the members are asked about. It is pickled once, to the leader or for all members of a cluster."""

    def get_ready(self) -> None:
        """Make what all members share; it runs no OpenMP code, since it runs before they are forked."""
        ...

    def answer(self, question: Any) -> Any: ...


@dataclass(frozen=True)
class Died:
    """A member ended over a question, by a signal (negative) or an exit code."""

    code: int

    def __str__(self) -> str:
        try:
            cause = f"exit code {self.code}" if self.code >= 0 else signal.Signals(-self.code).name
        except ValueError:
            cause = f"signal {-self.code}"
        return f"its process died ({cause})"


class PoolLost(Exception):
    """The leader has died, or the cluster is gone, and with it every member."""


class Pool(Protocol):
    """One question at a time is with each member; those that no member has yet are the caller's."""

    @property
    def size(self) -> int: ...

    @property
    def idle(self) -> bool:
        """Whether a member has nothing to do."""
        ...

    @property
    def notes(self) -> Sequence[str]:
        """What happened to its members that is worth telling."""
        ...

    def share(self, threads: int) -> int:
        """How many threads a member has, of those that a job has."""
        ...

    def begin(self, subject: Subject) -> None:
        """Say what all questions are about. Raises PoolLost."""
        ...

    def ask(self, question: Any) -> None:
        """Put a question to a member that has nothing to do. Raises PoolLost."""
        ...

    def hear(self) -> tuple[Any, Outcome | Died]:
        """Wait for the next answer: the question, and what came of it. Raises PoolLost."""
        ...

    def close(self) -> None:
        """End all members, whatever they do."""
        ...


class ForkedPool:
    """Its members are processes of this machine, which share the threads of the job."""

    notes = ()

    def __init__(self, size: int) -> None:
        pairs = [Pipe() for _ in range(size)]
        self._seats = [ours for ours, _ in pairs]
        orders, self._orders = Pipe(duplex=False)
        self._asked: dict[int, tuple[int, Any]] = {}
        self._tickets = 0
        parent = os.getpid()
        self._leader = os.fork()
        if not self._leader:
            for ours in (*self._seats, self._orders):
                ours.close()
            _be(lambda: _lead(orders, [theirs for _, theirs in pairs], parent))
        for theirs in (orders, *(theirs for _, theirs in pairs)):
            theirs.close()

    @property
    def size(self) -> int:
        return len(self._seats)

    @property
    def idle(self) -> bool:
        """Whether a member has nothing to do."""
        return len(self._asked) < self.size

    def share(self, threads: int) -> int:
        return max(1, threads // self.size)

    def begin(self, subject: Subject) -> None:
        """Let the members be forked around a subject.

        Raises:
            PoolLost: the leader has died.
        """
        try:
            self._orders.send_bytes(pickle.dumps(subject, protocol=pickle.HIGHEST_PROTOCOL))
        except OSError as error:
            raise PoolLost from error

    def ask(self, question: Any) -> None:
        """Put a question to a member that has nothing to do.

        Raises:
            PoolLost: the leader has died.
        """
        seat = next(place for place in range(self.size) if place not in self._asked)
        self._tickets += 1
        self._asked[seat] = self._tickets, question
        try:
            while self._seats[seat].poll():  # one that had nothing to do has died meanwhile
                self._seats[seat].recv()
            self._seats[seat].send((self._tickets, question))
        except (EOFError, OSError) as error:
            raise PoolLost from error

    def hear(self) -> tuple[Any, Outcome | Died]:
        """Wait for the next answer: the question, and what came of it.

        Raises:
            PoolLost: the leader has died.
        """
        while True:
            for ready in wait([self._seats[place] for place in self._asked]):
                place = next(place for place, seat in enumerate(self._seats) if seat is ready)
                try:
                    ticket, said = self._seats[place].recv()
                except (EOFError, OSError) as error:
                    raise PoolLost from error
                # One that died may have left its question unread: the next member of that seat answers it, too late.
                if place in self._asked and ticket in (0, self._asked[place][0]):
                    return self._asked.pop(place)[1], said

    def close(self) -> None:
        """End all members, whatever they do."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._leader, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._leader, 0)
        for ours in (*self._seats, self._orders):
            ours.close()


@contextmanager
def pool_of(work: Work, most: int, size: int = 0) -> Generator[Pool | None]:
    """A pool for as long as the body runs; None where one is of no use or may not be forked from this process.

    Args:
        most: how many questions there will be at most.
        size: how many members are wanted; 0 for one a thread that a job has, or that the cluster has.

    Raises:
        Unavailable: the scheduler of the cluster does not answer.
    """
    runtime = work.settings.runtime
    here = runtime.engine == "local" or is_shared(work.settings)
    with _forked(min(most, size or runtime.job_threads)) if here else spread(work, min(most, size or most)) as pool:
        yield pool


@contextmanager
def spread(work: Work, most: int) -> Generator[Pool | None]:
    """A pool on the cluster; None where there is none, or for a single question. Raises Unavailable."""
    # The subject travels through the state folder.
    if most < 2 or work.settings.runtime.engine == "local" or is_shared(work.settings):
        yield None
        return
    from .dask.pool import cluster_pool

    with cluster_pool(work, most) as pool:
        yield pool


@contextmanager
def _forked(size: int) -> Generator[ForkedPool | None]:
    if size < 2 or not forks_warm() or thread_count() > 1:
        yield None
        return
    pool = ForkedPool(size)
    try:
        yield pool
    finally:
        pool.close()


def _be(work: Callable[[], object]) -> NoReturn:
    """Do the work of a forked process and end with it, never to return to what it was forked from."""
    code = 1
    try:
        if crash := outcome_of(work).crash:
            print(crash.traceback, file=sys.stderr)
        else:
            code = 0
        sys.stdout.flush()
        sys.stderr.flush()
    finally:  # also on a full disk
        os._exit(code)


def _lead(orders: Connection, seats: list[Connection], parent: int) -> None:
    """Fork a member for each seat, and another one for each that dies."""
    die_with_parent(parent)
    try:
        subject: Subject = pickle.loads(orders.recv_bytes())
    except EOFError:
        return
    # What is refused here is refused again, and told, where a question is answered.
    outcome_of(subject.get_ready)
    gc.collect()
    gc.freeze()
    members = {_fork_member(subject, seats, place): place for place in range(len(seats))}
    while members:
        identity, status = os.wait()
        place, code = members.pop(identity), os.waitstatus_to_exitcode(status)
        if code:
            seats[place].send((0, Died(code)))
            members[_fork_member(subject, seats, place)] = place


def _fork_member(subject: Subject, seats: Iterable[Connection], place: int) -> int:
    leader = os.getpid()
    if identity := os.fork():
        return identity
    _be(lambda: _serve(subject, [*seats], place, leader))


def _serve(subject: Subject, seats: list[Connection], place: int, leader: int) -> None:
    die_with_parent(leader)
    for other in (seat for number, seat in enumerate(seats) if number != place):
        other.close()
    with contextlib.suppress(EOFError):
        while True:
            ticket, question = seats[place].recv()
            seats[place].send((ticket, outcome_of(lambda asked=question: subject.answer(asked))))  # type: ignore[misc]
