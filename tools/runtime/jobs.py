"""The server's side of jobs: queue, watch, cancel, and notice when a process died."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import anyio
import anyio.to_thread
from pydantic import BaseModel

from ...config.settings import Settings
from ..errors import ToolFailure, Unavailable, unknown
from ..tracing.span import current
from . import trees
from .alive import holder
from .launch import launch_next, lock_path, log_path, mark_of, stored, table_of
from .models import ENDED
from .table import NewJob, Row
from .work import Work

T = TypeVar("T")
POLL_S = 0.1
# A claimed job whose process has not even taken its lock by then never started.
START_PATIENCE_S = 10.0


class Jobs:
    """All jobs of a state folder; any number of servers may do this at the same time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._table = table_of(settings)
        self._children: dict[int, Row] = {}

    async def submit(
        self,
        tool: str,
        function: Callable[[Work, Any], Any],
        request: BaseModel,
        idempotency: str = "",
        once: bool = False,
    ) -> Row:
        """Queue `function(work, request)` and start it if a slot is free.

        Args:
            once: the work must not be started a second time when its process dies.
        """
        span = current()
        new = NewJob(
            tool=tool,
            function=f"{function.__module__}:{function.__name__}",
            request=request.model_dump_json(),
            attempts=1 if once else self._settings.runtime.job_attempts,
            trace_id=span.trace_id,
            span_id=span.span_id,
            idempotency=f"{tool}:{idempotency}" if idempotency else None,
            settings=stored(self._settings),
            folder=os.getcwd(),
        )

        def insert() -> Row:
            row = self._table.insert(new)
            if json.loads(row.request) != request.model_dump(mode="json"):
                raise ToolFailure(
                    f"idempotency_key {idempotency!r} was used before with other arguments", "Use a new key."
                )
            self._start()
            return row

        return await self._run(insert)

    async def watch(self, identity: str, wait_s: float) -> AsyncIterator[Row]:
        """Yield the row whenever its progress or state changed, until it ended or the time is up."""
        deadline = time.monotonic() + wait_s
        seen: tuple[object, ...] = ()
        while True:
            row = await self.get(identity)
            if (mark := (row.state, row.progress)) != seen or row.state in ENDED:
                seen = mark
                yield row
            if row.state in ENDED or time.monotonic() >= deadline:
                return
            await anyio.sleep(min(POLL_S, max(0.0, deadline - time.monotonic())))

    async def get(self, identity: str) -> Row:
        """The row of a job after looking whether its process still lives.

        Raises:
            ToolFailure: there is no such job.
        """
        return await self._run(lambda: self._read(identity))

    async def page(self, limit: int, offset: int, state: str) -> tuple[list[Row], int]:
        return await self._run(lambda: (self._table.recent(limit, offset, state), self._table.count(state)))

    async def cancel(self, identity: str) -> Row:
        """End a job and every process it started; what it reached so far stays in its row."""

        def end() -> Row:
            self._read(identity)
            ended = self._table.cancel(identity)
            row = self._table.get(identity)
            if ended and row.attempt:
                trees.kill(mark_of(row.id, row.attempt))
            self._start()
            return row

        return await self._run(end)

    async def reconcile(self) -> None:
        """Notice dead processes and fill free slots; every server does this when it starts."""
        await anyio.to_thread.run_sync(self._reconcile)

    def log_tail(self, identity: str, characters: int = 600) -> str:
        path = log_path(self._settings, identity)
        return path.read_text(encoding="utf-8", errors="replace")[-characters:].strip() if path.exists() else ""

    async def _run(self, action: Callable[[], T]) -> T:
        """Use the table outside the event loop.

        Raises:
            Unavailable: the table cannot be used.
        """
        try:
            return await anyio.to_thread.run_sync(action)
        except sqlite3.Error as error:
            raise Unavailable(
                f"the job table {self._table.path} cannot be used: {error}",
                "Move the file away: a new one is made. Tools that need no job work on.",
            ) from error

    def _read(self, identity: str) -> Row:
        try:
            row = self._table.get(identity)
        except KeyError:
            raise unknown(
                "job", identity, (row.id for row in self._table.recent(50, 0)), "list_jobs shows all."
            ) from None
        self._reap()
        if row.state == "running" and self._dead(row):
            self._lose(row)
        return self._table.get(identity)

    def _reconcile(self) -> None:
        for row in self._table.running():
            if self._dead(row):
                self._lose(row)
        self._start()

    def _start(self) -> None:
        self._reap()
        self._children |= launch_next(self._settings, self._table)

    def _reap(self) -> None:
        """Forget children that ended; one that ended before it noted its process id never came to work."""
        ended = [pid for pid in list(self._children) if _reaped(pid)]
        for row in [self._children.pop(pid) for pid in ended]:
            now = self._table.get(row.id)
            if now.state == "running" and now.attempt == row.attempt and not now.pid:
                self._lose(now)

    def _dead(self, row: Row) -> bool:
        if holder(lock_path(self._settings, row.id)):
            return False
        # The process ends its row before it lets go of the lock, so look at the row once more.
        if self._table.get(row.id).state != "running":
            return False
        return bool(row.pid) or time.time() - row.claimed > START_PATIENCE_S

    def _lose(self, row: Row) -> None:
        trees.kill(mark_of(row.id, row.attempt))
        self._table.lose(row.id, row.attempt, self.log_tail(row.id, 300))
        self._start()


def _reaped(pid: int) -> bool:
    """Whether a child has ended; asking keeps it from staying behind as a zombie."""
    try:
        return os.waitpid(pid, os.WNOHANG) != (0, 0)
    except ChildProcessError:
        return True
