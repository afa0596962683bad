"""Jobs on a Dask cluster. A task starts the same job process as here, on a worker, and watches over it.

Dask's own cancel leaves running code running, and a worker that dies has its tasks started again: so the keeper of a
job says over the scheduler's metadata whether it is wanted, the task looks there, and a second start is refused.
"""

from __future__ import annotations

import json
import queue
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from ....config.settings import Settings
from ...errors import Unavailable, require
from ...tracing.span import Carrier
from ..jobs.channel import JobChannel
from ..jobs.launch import mark_of
from ..jobs.supervisor import ENDED, ProcessDied, Run
from ..jobs.table import End, JobRow
from .runner import BEGUN, StartedBefore, key_of, run_task

if TYPE_CHECKING:
    from distributed import Client, Future

CONNECT_S = 2.0
TICK_S = 0.1
LOOK_EVERY_S = 1.0
# The last notes travel another way than the outcome and may come after it.
LAST_NOTES_S = 5.0


@dataclass(frozen=True)
class ClusterWorker:
    """One worker of the cluster; `running` are tasks, `memory_mb` what it uses of `limit_mb` (0: no limit)."""

    address: str
    threads: int
    running: int
    memory_mb: int
    limit_mb: int


def run_on_cluster(settings: Settings, row: JobRow) -> Run:
    """The work as a task of the cluster."""
    return lambda carrier, channel: _run(settings, row, carrier, channel)


def _run(settings: Settings, row: JobRow, carrier: Carrier, channel: JobChannel) -> End | ProcessDied:
    """Run one attempt and pass on what it says."""
    mark = f"{mark_of(row.id, row.attempt)}@cluster"
    spec = {
        "mark": mark,
        "row": json.dumps(asdict(row)),
        "carrier": json.dumps(asdict(carrier)),
    }
    try:
        with connected(settings) as client:
            relay = _Relay(client, mark, channel)
            relay.tell(wanted=True)
            future = client.submit(run_task, spec, key=key_of(mark), pure=False, retries=0)
            return relay.until_the_end(future)
    except Unavailable as error:
        return End("failed", error=str(error), fault="refused")


def workers(settings: Settings) -> list[ClusterWorker]:
    """Who works for the cluster. Raises Unavailable."""
    with connected(settings) as client:
        return workers_of(client)


def workers_of(client: Client) -> list[ClusterWorker]:
    return [_worker(address, known) for address, known in _known_workers(client).items()]


@contextmanager
def connected(settings: Settings, within_s: float = CONNECT_S) -> Generator[Client]:
    """A client of the configured cluster.

    Raises:
        Unavailable: its scheduler does not answer.
    """
    require("distributed")
    from distributed import Client

    address = settings.runtime.scheduler
    try:
        client = Client(address, timeout=within_s, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise Unavailable(
            f"the Dask scheduler {address} does not answer: {error}",
            "Start one with `dask scheduler`, correct runtime.scheduler, or set runtime.engine to local.",
        ) from error
    try:
        yield client
    finally:
        client.close(timeout=CONNECT_S)


@dataclass
class _Relay:
    """The keeper's end: hears notes over a topic, says over metadata what is wanted."""

    client: Client
    mark: str
    channel: JobChannel
    heard: int = 0
    worker: str = ""
    _inbox: queue.SimpleQueue[str] = field(default_factory=queue.SimpleQueue)
    _looked: float = field(default_factory=time.monotonic)
    _answers: str | None = None
    _number: int = 0

    def __post_init__(self) -> None:
        self.client.subscribe_topic(self.mark, lambda event: self._inbox.put(event[1]))

    def until_the_end(self, future: Future[Any]) -> End | ProcessDied:
        try:
            while not future.done():
                self._hear(TICK_S)
                control = self.channel.control()
                if not control.wanted:
                    return self._stop(future)
                if control.answers:
                    self._answers, self._number = control.answers, self._number + 1
                    self.tell(wanted=True)
                if self._worker_is_gone():
                    return ProcessDied(-9)
            return self._outcome(future)
        finally:
            future.cancel()

    def tell(self, wanted: bool) -> None:
        order = {"wanted": wanted, "answers": self._answers, "number": self._number}
        self.client.set_metadata([self.mark, "control"], order)

    def _hear(self, wait_s: float) -> bool:
        """Pass on the notes that have come; whether there was one."""
        try:
            kind, text = json.loads(self._inbox.get(timeout=wait_s))
        except queue.Empty:
            return False
        self.heard += 1
        if kind == BEGUN:
            self.worker = text
        else:
            self.channel.note(kind, text)
        return True

    def _stop(self, future: Future[Any]) -> End:
        """Say that the work is not wanted any more and wait until it has ended."""
        self.tell(wanted=False)
        if self.worker:
            deadline = time.monotonic() + LAST_NOTES_S
            while not future.done() and time.monotonic() < deadline:
                self._hear(TICK_S)
        return End("cancelled")

    def _worker_is_gone(self) -> bool:
        if not self.worker or time.monotonic() - self._looked < LOOK_EVERY_S:
            return False
        self._looked = time.monotonic()
        return self.worker not in _known_workers(self.client)

    def _outcome(self, future: Future[Any]) -> End | ProcessDied:
        if future.status != "finished":
            return _task_failure(future)
        outcome: dict[str, Any] = future.result()
        deadline = time.monotonic() + LAST_NOTES_S
        while self.heard < outcome["notes"] and time.monotonic() < deadline:
            self._hear(TICK_S)
        if outcome["kind"] == ENDED:
            return End(**json.loads(outcome["text"]))
        return ProcessDied(**json.loads(outcome["text"]))


def _task_failure(future: Future[Any]) -> End | ProcessDied:
    """The task itself failed, not the work in it: a worker without this package, or one that is gone."""
    error = future.exception() if future.status == "error" else None
    if error is None or isinstance(error, StartedBefore) or type(error).__name__ in ("KilledWorker", "CancelledError"):
        return ProcessDied(-9)
    return End(
        "failed",
        error=f"the cluster cannot run jobs: {type(error).__name__}: {error}. Its workers need mlops-mcp installed.",
        fault="refused",
    )


def _known_workers(client: Client) -> dict[str, Any]:
    return dict(client.scheduler_info(n_workers=-1)["workers"])


def _worker(address: str, known: dict[str, Any]) -> ClusterWorker:
    metrics: dict[str, Any] = known.get("metrics", {})
    running = metrics.get("task_counts", {}).get("executing", metrics.get("executing", 0))
    return ClusterWorker(
        address, known["nthreads"], int(running), int(metrics.get("memory", 0)) >> 20, int(known["memory_limit"]) >> 20
    )
