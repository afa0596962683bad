"""What the whole server process shares: workers, jobs and the trace store. Built once, whatever the transport."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from functools import partial

import anyio
import anyio.to_thread
from mcp.types import CallToolResult, InputRequiredResult

from ..config.settings import Settings
from ..config.watch import Watch
from ..tools.audit import AuditLog
from ..tools.replica.steps import fetch, is_shared
from ..tools.runtime.calls.executor import CallExecutor
from ..tools.runtime.identity import acting
from ..tools.runtime.jobs.queue import Jobs
from ..tools.runtime.waits import WaitPolicy
from ..tools.storage.errors import StorageError, storage_error, translated
from ..tools.storage.store import BlockingCalls
from ..tools.storage.usage import Usage
from ..tools.tracing.opik.launcher import Launcher
from ..tools.tracing.redaction import Redactor
from ..tools.tracing.span import Tracer
from ..tools.tracing.store.reader import TraceReader
from ..tools.tracing.store.writer import TraceStore
from .answers_shared import table_of
from .audited import Audited
from .background import repeat
from .changes import Changes
from .choices import Rounds
from .client_logs import ClientLogs
from .idempotency import RETRY_S, Answers
from .in_flight import CallsInFlight, dated
from .rates import Rates
from .subscriptions import Bus

RECONCILE_EVERY_S = 1.0
SHIP_EVERY_S = 1.0
FETCH_EVERY_S = 2.0

logger = logging.getLogger(__name__)


class Services:
    """The process-wide parts, not bound to a connection: on SSE the SDK's lifespan runs once per client."""

    def __init__(self, settings: Settings, slices: Iterable[str]) -> None:
        self.settings = settings
        self.store = TraceStore.of(settings)
        self.tracer = Tracer(self.store.put, settings.tracing.capture_for(""))
        self.calls = CallExecutor(settings, self.store.put, slices)
        self.jobs = Jobs(settings)
        self.audit = Audited(AuditLog.of(settings))
        self.waits = WaitPolicy(settings.runtime.wait_s, settings.runtime.client_waits)
        self.in_flight = CallsInFlight[CallToolResult | InputRequiredResult](self.waits, dated)
        self.bus = Bus()
        self.changes = Changes(self.bus, self.jobs)
        self.rates = Rates(settings.server.caller_calls)
        self.rounds = Rounds()
        self.logs = ClientLogs(Redactor.of(settings))
        self.answers = Answers(table_of(settings))
        self._usage = Usage(settings.home)
        self._counts = BlockingCalls("the table of what was written")
        self._spans = BlockingCalls("the trace store")
        self._shipping = BlockingCalls("the shipper", 1)
        self._fetching = BlockingCalls("the shared state", 1)
        self._watch = Watch(settings)
        self._launcher = Launcher()
        self._warming = False

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Look after jobs and traces while the body runs, then end the workers and write the last spans."""
        with self.logs:
            async with anyio.create_task_group() as group:
                if self.settings.runtime.preload == "start":
                    self.warm_later(0)
                group.start_soon(repeat, self._look_after_jobs, RECONCILE_EVERY_S, "jobs cannot be looked after")
                group.start_soon(repeat, self._look_after_traces, SHIP_EVERY_S, "traces cannot be shipped")
                group.start_soon(repeat, self.changes.look_at_jobs, RECONCILE_EVERY_S, "ended jobs cannot be looked at")
                outcomes = "the outcomes of keyed calls cannot be written"
                group.start_soon(repeat, self.answers.write_waiting, RETRY_S, outcomes)
                if is_shared(self.settings):
                    group.start_soon(repeat, self._fetch, FETCH_EVERY_S, "what other servers have made is not fetched")
                try:
                    yield
                finally:
                    group.cancel_scope.cancel()
                    with anyio.CancelScope(shield=True):
                        await anyio.to_thread.run_sync(self.close)

    async def settle(self) -> None:
        """Wait until every span that was closed so far can be read."""
        await self._spans.run(self.store.flush)

    async def require_disk(self, owner: str) -> None:
        """Raises ToolFailure if the bearer of a token has written all that it may within a day."""
        if owner and (most_mb := self.settings.runtime.caller_disk_mb):
            await self._counts.run(partial(self._usage.require_room, owner, most_mb))

    async def written_mb(self, owner: str) -> int:
        """What the bearer of a token has written within a day."""
        return await self._counts.run(partial(self._usage.within_a_day, owner)) >> 20

    async def owns_trace(self, trace_id: str) -> bool:
        """Whether whoever acts may write into a trace: one of his own, or one that nobody has begun here.

        One of which that cannot be told is nobody's but an admin's.
        """
        by = acting()
        if by.access == "admin":
            return True
        with suppress(StorageError):
            owner = await self._spans.run(partial(self._trace_owner, trace_id))
            return owner is None or by.owns(owner)
        return False

    def _trace_owner(self, trace_id: str) -> str | None:
        self.store.flush()  # of what has just been begun here, too
        with translated("the trace store", self.settings.trace_store):
            return TraceReader(self.settings.trace_store).owner(trace_id)

    def warm_later(self, delay_s: float) -> None:
        """Start the template soon; it dies with the thread that starts it, so call this in the event loop."""
        if not self._warming and self.settings.runtime.preload != "never":
            self._warming = True
            asyncio.get_running_loop().call_later(delay_s, self.calls.warm)

    async def _look_after_jobs(self) -> None:
        if self.jobs.in_use:
            await self.jobs.reconcile()

    async def _look_after_traces(self) -> None:
        await self._shipping.run(self._ship)

    async def _fetch(self) -> None:
        """Also between calls: tokens that were revoked elsewhere are gone here."""
        await self._fetching.run(partial(fetch, self.settings))

    def _ship(self) -> None:
        settings = self._watch.current()
        self.store.follow(settings)
        try:
            self._launcher.look(settings)
        except sqlite3.Error as error:
            raise storage_error("the trace store", settings.trace_store, error) from error

    def close(self) -> None:
        """End the workers, write the last spans and leave them to the shipper; blocking."""
        for step in (self.calls.close, self.answers.close, self.store.close, self._ship):
            _anyway(step)


def _anyway(step: Callable[[], object]) -> None:
    """Whatever one step meets, the next ones are done too."""
    try:
        step()
    except Exception:  # the edge: nobody is left to tell but the log
        logger.exception("the server does not end in order")
