"""The server's side of jobs: queue, watch, answer, cancel, and notice when a process died."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import anyio

from ....config.settings import RuntimeSettings, Settings
from ...detached import has_ended, reap_adopted
from ...errors import Unavailable, key_reused, unknown
from ...logtail import shorten
from ...paging import Position
from ...storage.expiry import Expiry
from ...storage.store import BlockingCalls
from ...tracing.redaction import redact
from ...tracing.span import Carrier, current
from .. import proctree
from ..identity import acting
from ..models import ENDED, Progress, QueuePlace
from ..template.handle import own_template
from .alive import held
from .launch import (
    Fork,
    home_id,
    launch_next,
    lock_path,
    log_path,
    log_tail,
    mark_of,
    place_of,
    start_cleanup,
    table_of,
)
from .orphans import end_span
from .shares import Quota, Taken
from .submission import Submission
from .table import LEASE_S, JobRow, JobTable

POLL_S = 0.05
# Most jobs end soon, and their callers wait for them.
SOON_POLL_S, SOON_S = 0.015, 3.0
MAX_SHOWN = 5
# A claimed job whose process has not even taken its lock by then never started; a slow machine may need a while.
START_WITHIN_S = 60.0
# How long the keeper of a cancelled job may take to write its last words; on a cluster it has to ask around.
LEAVE_S = {"local": 1.0, "dask": 5.0}
PRUNE_EVERY_S = 3600.0


class Jobs:
    """All jobs of a state folder; any number of servers may do this at the same time.

    Whoever acts finds, changes and lists no jobs but those that it owns.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._opened: JobTable | None = None
        # What a read-only server has submitted: it looks after no other jobs.
        self._own: set[str] = set()
        self._children: dict[int, JobRow | None] = {}
        self._lock = threading.Lock()
        # What other machines last said of their jobs, and when that was first seen here.
        self._leases: dict[tuple[str, int], tuple[float, float]] = {}
        self._pruned = 0.0
        self._expiry = Expiry(settings.runtime.keep_days)
        self._calls = BlockingCalls("the job table", 8)

    @property
    def _table(self) -> JobTable:
        """Opened at its first use: a missing driver is the failure of that call, not of the server."""
        if self._opened is None:
            self._opened = table_of(self._settings)
        return self._opened

    @property
    def in_use(self) -> bool:
        """Whether there may be jobs at all."""
        return bool(self._settings.job_store) or self._settings.home.joinpath("jobs.db").exists()

    async def submit(self, submission: Submission) -> JobRow:
        """Queue a job and start it if a slot is free; the same call of the same caller joins the job of the first.

        Raises:
            ToolFailure: its idempotency key was used with other arguments, one of them is not finite, its budget
                is more than a job may take, or its owner has all that it may.
        """
        above = current()
        return await self._calls.run(lambda: self._submit(submission, above))

    async def watch(self, identity: str, wait_s: float) -> AsyncIterator[JobRow]:
        """Yield the row whenever its progress or state changed, until it ended or the time is up."""
        began = time.monotonic()
        deadline = began + wait_s
        seen: tuple[object, ...] = ()
        while True:
            row = await self.get(identity)
            if (mark := (row.state, row.progress)) != seen or row.state in ENDED:
                seen = mark
                yield row
            if row.state in ENDED or time.monotonic() >= deadline:
                return
            pause_s = SOON_POLL_S if time.monotonic() < began + SOON_S else POLL_S
            await anyio.sleep(min(pause_s, max(0.0, deadline - time.monotonic())))

    async def get(self, identity: str) -> JobRow:
        """The row of a job after looking whether its process still lives; a read-only server shows it as it is.

        Raises:
            ToolFailure: there is no such job.
        """
        return await self._calls.run(lambda: self._read(identity))

    async def tell(self, row: JobRow, scope: str) -> None:
        """Note that the end of a job reaches the caller that it belongs to; the answer does not hang on it."""
        if scope == row.scope and not row.told:
            with contextlib.suppress(Unavailable):
                await self._calls.run(lambda: self._table.tell(row.id, scope))

    async def place_in_queue(self, row: JobRow) -> QueuePlace:
        """Why a queued job waits."""

        def look() -> QueuePlace:
            runtime = self._settings.runtime
            here = [each for each in self._table.running() if each.home in ("", row.home)]
            return QueuePlace(
                position=self._table.ahead(row) + 1,
                reason=_reason(runtime, row),
                running=[describe_running(each) for each in here[:MAX_SHOWN] if acting().owns(each.owner)],
            )

        return await self._calls.run(look)

    async def page(self, limit: int, after: Position | None, state: str) -> tuple[list[JobRow], int]:
        """Newest jobs first, beginning behind a position, and how many there are."""
        by = acting()
        return await self._calls.run(
            lambda: (self._table.recent(limit, after, state, by), self._table.count(state, by))
        )

    async def states(self) -> dict[str, int]:
        """How many jobs there are in each state, whoever owns them."""
        return await self._calls.run(self._table.states) if self.in_use else {}

    async def taken(self) -> Taken:
        """What whoever acts has of its quota."""
        owner = acting().name
        return await self._calls.run(lambda: self._table.taken(owner)) if self.in_use else Taken()

    async def ended_since(self, moment: float) -> list[JobRow]:
        return await self._calls.run(lambda: self._table.ended_since(moment))

    async def answer(self, identity: str, answers: dict[str, Any]) -> JobRow:
        """Answer open questions of a job by their key; keys that were not asked for are ignored."""

        def note() -> JobRow:
            self._read(identity)
            self._table.answer(identity, answers)
            return self._table.get(identity)

        return await self._calls.run(note)

    async def cancel(self, identity: str) -> JobRow:
        """End a job and every process it started; what it reached so far stays in its row."""

        def end() -> JobRow:
            self._read(identity)
            ended = self._table.cancel(identity)
            row = self._table.get(identity)
            if ended and row.attempt and self._is_here(row):
                self._end(row)
                end_span(self._settings, row)
                self._clean_up(row)
            self._start()
            return row

        return await self._calls.run(end)

    async def reconcile(self) -> None:
        """Notice dead processes and fill free slots; every server does this when it starts, and then all the time."""
        try:
            await self._calls.run(self._reconcile)
        except Unavailable:
            # Nobody could say that he lives while the table was away.
            self._leases.clear()
            raise

    def log_tail(self, identity: str, characters: int = 600) -> str:
        return log_tail(self._settings, identity, characters)

    def _submit(self, submission: Submission, above: Carrier) -> JobRow:
        new = submission.row(self._settings, above)
        runtime = self._settings.runtime
        row = self._table.insert(new, runtime.rejoin_s, Quota(runtime.caller_jobs, runtime.caller_job_s))
        if self._settings.server.read_only:
            self._own.add(row.id)
        if row.request != new.request:
            raise key_reused(submission.idempotency)
        self._start()
        return row

    def _read(self, identity: str) -> JobRow:
        row = self._owned(identity)
        self._reap()
        if row.state == "running" and self._looks_after(row) and self._dead(row):
            self._lose(row)
        return self._table.get(identity)

    def _owned(self, identity: str) -> JobRow:
        """Raises ToolFailure for a job that is not there, or another's, which is the same to whoever asks."""
        by = acting()
        with contextlib.suppress(KeyError):
            row = self._table.get(identity)
            if by.owns(row.owner):
                return row
        raise unknown("job", identity, (row.id for row in self._table.recent(50, by=by)), "list_jobs shows all.")

    def _looks_after(self, row: JobRow) -> bool:
        return not self._settings.server.read_only or row.id in self._own

    def _reconcile(self) -> None:
        reap_adopted()
        running = self._table.running()
        for row in running:
            if self._looks_after(row) and self._dead(row):
                self._lose(row)
        known = {(row.id, row.attempt) for row in running}
        self._leases = {key: seen for key, seen in self._leases.items() if key in known}
        self._start()
        if self._settings.server.read_only:
            return
        if time.monotonic() - self._pruned > PRUNE_EVERY_S or not self._pruned:
            self._pruned = time.monotonic()
            self._prune()

    def _prune(self) -> None:
        newest = self._table.newest()
        before, now = self._expiry.before(newest), self._expiry.now(newest)
        for identity in self._table.prune(before, self._settings.runtime.keep_jobs, now):
            for path in (lock_path(self._settings, identity), log_path(self._settings, identity)):
                path.unlink(missing_ok=True)
        for log in log_path(self._settings, "").parent.glob("*.log"):
            shorten(log)

    def _start(self) -> None:
        self._reap()
        started = launch_next(self._settings, self._table, self._fork(), tuple(self._own))
        with self._lock:
            self._children |= started

    def _fork(self) -> Fork | None:
        """How to start a job in a process that has the libraries loaded; on a cluster the work runs elsewhere."""
        runtime = self._settings.runtime
        if runtime.engine != "local" or runtime.preload == "never" or not own_template().ready:
            return None
        from .forked import fork_from
        from .keeper import main_forked

        return partial(fork_from, own_template(), main_forked)

    def _reap(self) -> None:
        """Forget children that ended; one that ended before it noted its process id never came to work."""
        with self._lock:
            ended = [self._children.pop(pid) for pid in list(self._children) if has_ended(pid)]
        for row in ended:
            if row is None:
                continue
            with contextlib.suppress(KeyError):
                now = self._table.get(row.id)
                if now.state == "running" and now.attempt == row.attempt and not now.pid:
                    self._lose(now)

    def _end(self, row: JobRow) -> None:
        """Kill the work at once; its keeper has a moment to write how it went."""
        mark = mark_of(row.id, row.attempt)
        proctree.kill(mark, spare=row.pid)
        deadline = time.monotonic() + LEAVE_S[self._settings.runtime.engine]
        while proctree.marked(mark) and time.monotonic() < deadline:
            time.sleep(POLL_S / 5)
        proctree.kill(mark)

    def _is_here(self, row: JobRow) -> bool:
        """Whether this machine sees the lock and the processes of a job."""
        return row.home in ("", home_id(self._settings)) and row.place == place_of(self._settings)

    def _dead(self, row: JobRow) -> bool:
        if not self._is_here(row):
            # On the file's only machine another place means: before the last start of the machine.
            return self._silent_s(row) > LEASE_S if self._table.backend.shared else True
        if held(lock_path(self._settings, row.id)):
            return False
        # The process ends its row before it lets go of the lock, so look at the row once more. It notes its id after
        # it has taken the lock: an id that is new by now says that it came while we looked.
        now = self._table.get(row.id)
        if (now.state, now.attempt) != ("running", row.attempt):
            return False
        return bool(row.pid) or self._silent_s(now) > START_WITHIN_S

    def _silent_s(self, row: JobRow) -> float:
        """How long the lease of a job has been the same as far as this server has seen, by a clock nobody sets."""
        key, now = (row.id, row.attempt), time.monotonic()
        lease, since = self._leases.get(key, (None, now))
        if lease != row.lease:
            self._leases[key] = (row.lease, now)
            return 0.0
        return now - since

    def _clean_up(self, row: JobRow) -> None:
        if cleanup := self._table.take_cleanup(row.id, row.attempt):
            pid = start_cleanup(self._settings, row, cleanup)
            with self._lock:
                self._children[pid] = None

    def _lose(self, row: JobRow) -> None:
        proctree.kill(mark_of(row.id, row.attempt))
        why = redact(f"its process died. {self.log_tail(row.id, 300)}".strip())
        if self._is_here(row):
            self._clean_up(row)
        if self._table.lose(row.id, row.attempt, why):
            end_span(self._settings, row, why)
        self._start()


def _reason(runtime: RuntimeSettings, row: JobRow) -> str:
    """What a queued job waits for."""
    of_one = runtime.caller_slots if row.owner else 0
    own = f", and {of_one} of one caller (runtime.caller_slots)" if of_one else ""
    return f"{runtime.slots} long and {runtime.short_slots} short jobs run at a time (runtime.job_slots){own}"


def describe_running(row: JobRow) -> str:
    """One line about a running job."""
    said = f": {Progress.model_validate_json(row.progress).words}" if row.progress else ""
    return f"job:{row.id} {row.tool}, {row.seconds:.0f} s{said}"
