"""A pool on a cluster: each question is a task of its own, which any worker may take.

A worker that is lost costs the questions that were with it; the scheduler gives them to others.
"""

from __future__ import annotations

import os
import pickle
import queue
import time
import uuid
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...storage.state_files import private_file, private_folder
from ..jobs.launch import stored
from ..outcome import Outcome
from ..pool import Died, PoolLost, Subject
from ..work import Work
from .engine import connected, workers_of
from .processes import Errand, answer, dismiss
from .runner import SPREAD, key_of

if TYPE_CHECKING:
    from distributed import Client, Future

FOLDER = "pools"
# Jobs that wait for a worker do not keep one that has begun waiting for its answers.
BEFORE_JOBS = 1
# The scheduler has just started the job, so it lives; it may be busy.
PATIENCE_S = 30.0
# Files of subjects that no question has touched for so long belong to jobs that were killed.
FORGOTTEN_S = 24 * 3600.0


@contextmanager
def cluster_pool(work: Work, most: int) -> Generator[ClusterPool]:
    """A pool of as many members as the cluster has threads, but not more than `most`.

    Raises:
        Unavailable: the scheduler does not answer.
    """
    with connected(work.settings, PATIENCE_S) as client:
        threads = sum(worker.threads for worker in workers_of(client))
        pool = ClusterPool(client, work, max(1, min(most, threads)))
        try:
            yield pool
        finally:
            pool.close()


@dataclass
class ClusterPool:
    client: Client
    work: Work
    size: int
    _mark: str = field(default_factory=lambda: f"pool-{uuid.uuid4().hex}")
    _errand: Errand | None = None
    _asked: dict[str, tuple[Future[bytes], Any]] = field(default_factory=dict[str, "tuple[Future[bytes], Any]"])
    _ended: queue.SimpleQueue[Future[bytes]] = field(default_factory=queue.SimpleQueue)
    _tickets: int = 0
    _with: dict[str, str] = field(default_factory=dict[str, str])
    _lost: Counter[str] = field(default_factory=Counter[str])

    def __post_init__(self) -> None:
        self.client.subscribe_topic(self._mark, lambda event: self._begun(*event[1]))

    @property
    def idle(self) -> bool:
        return len(self._asked) < self.size

    @property
    def notes(self) -> Sequence[str]:
        return [
            f"the cluster lost {worker}: what it had begun ({count}) ran again" for worker, count in self._lost.items()
        ]

    def share(self, threads: int) -> int:
        """Each has those of a job: it takes the place of one on its worker."""
        return threads

    def begin(self, subject: Subject) -> None:
        """Put the subject where all workers find it: in the state folder, which they share."""
        folder = private_folder(self.work.home / FOLDER)
        _forget_old(folder)
        path = folder / self._mark
        with os.fdopen(private_file(path), "wb") as file:
            pickle.dump(subject, file, protocol=pickle.HIGHEST_PROTOCOL)
        self._errand = Errand(self._mark, stored(self.work.settings), self.work.function, str(path))

    def ask(self, question: Any) -> None:
        assert self._errand is not None
        with suppress(FileNotFoundError):
            os.utime(self._errand.subject)
        self._tickets += 1
        key, asked = f"{key_of(self._mark)}-{self._tickets}", pickle.dumps(question)
        with _translated():
            future = self.client.submit(
                answer, self._errand, asked, key=key, pure=False, retries=0, priority=BEFORE_JOBS
            )
        self._asked[key] = future, question
        future.add_done_callback(self._ended.put)
        if self._tickets == 1:
            # The work itself only waits from now on: its place among the tasks of its worker is for questions.
            self.work.reporter.say(SPREAD, "")

    def hear(self) -> tuple[Any, Outcome | Died]:
        future = self._ended.get()
        _, question = self._asked.pop(str(future.key))
        return question, _said(future)

    def close(self) -> None:
        # The members of a cluster that is gone end by themselves.
        if self._errand is not None and self.client.status == "running":
            with suppress(OSError):
                self.client.run(dismiss, self._mark, wait=False, on_error="ignore")
        if self._errand is not None:
            Path(self._errand.subject).unlink(missing_ok=True)

    def _begun(self, key: str, worker: str) -> None:
        """A question that was begun before, elsewhere, was lost with the worker that had it."""
        before = self._with.get(key, worker)
        self._with[key] = worker
        if before != worker:
            self._lost[before] += 1


@contextmanager
def _translated() -> Generator[None]:
    """Raises PoolLost for a scheduler that is gone."""
    from distributed.client import ClosedClientError

    try:
        yield
    except (OSError, ClosedClientError) as error:
        raise PoolLost from error


def _said(future: Future[bytes]) -> Outcome | Died:
    if future.status == "finished":
        said: Outcome | Died = pickle.loads(future.result())
        return said
    error: Any = future.exception() if future.status == "error" else None
    if type(error).__name__ == "KilledWorker":  # one worker after the other has died over it
        return Died(-9)
    raise PoolLost from error


def _forget_old(folder: Path) -> None:
    for path in folder.glob("pool-*"):
        if time.time() - path.stat().st_mtime > FORGOTTEN_S:
            path.unlink(missing_ok=True)
