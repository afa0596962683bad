"""The workers of one slice: a few processes, one call at a time each, and a bounded lane for each caller before them.

While one caller's calls hold them all, another one's gets a worker beside them: no call is ended for it.
"""

from __future__ import annotations

import asyncio
import math
import os
import signal
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, Future
from concurrent.futures import TimeoutError as CallTimeout
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from typing import Any, cast

from pebble import ProcessExpired, ProcessPool

from ....config.settings import Capture, Settings
from ...errors import ToolFailure
from ...tracing.span import current
from ..identity import acting, acting_lane
from ..inherited import inherited
from ..limits import worker_environment
from ..outcome import Outcome
from ..template.handle import Template
from ..waits import borne_s
from .line import Line
from .worker import initialize, invoke, load

CALLS_OF_A_WORKER = 2000
# After this long in the line a call gets another worker; most are shorter, and cost less than to start one.
GROW_AFTER_S = 0.2
# How much the last call says about the next one.
WEIGHT = 0.2
# Of the time that a call may take, what it may wait for something that has gone away.
BEARABLE = 0.7
# A busy machine may keep one from being started: the template waits only so long for whoever asks it for a process.
STARTS = 3


class Worker:
    """One worker process: a pool of one, which is given a call only when it has none."""

    def __init__(self, settings: Settings, template: Template, serves: str = "") -> None:
        self.forked = template.ready
        self.calls = 0
        self.busy = False
        self.busy_since = 0.0
        self.warming = False
        self.warmed = self.forked
        environment = {**inherited(template.environment(), settings), **worker_environment()}
        self._pool = ProcessPool(
            max_workers=1,
            context=template.context(self.forked),
            initializer=initialize,
            initargs=(settings, environment, template.pid if self.forked else os.getpid(), serves),
        )

    @property
    def alive(self) -> bool:
        """Whether it takes calls. The first look starts the process, which blocks for some milliseconds.

        Raises:
            BrokenProcessPool: it could not be started.
        """
        return bool(self._pool.active)

    def run(
        self, function: Callable[..., Any], arguments: tuple[Any, ...], capture: Capture, limit_s: float
    ) -> Future[Outcome]:
        self.calls += 1
        self.busy = True
        self.busy_since = time.monotonic()
        given = (function, arguments, capture, current(), acting(), min(borne_s(), BEARABLE * limit_s))
        future = self._pool.schedule(invoke, args=given, timeout=limit_s)
        return cast("Future[Outcome]", future)

    def load(self, entries: Sequence[str], limit_s: float) -> Future[None]:
        """Import what the calls use before there is one."""
        return cast("Future[None]", self._pool.schedule(load, args=(entries,), timeout=limit_s))

    def halt(self) -> None:
        """Let it end soon."""
        cast(Any, self._pool).stop()

    def stop(self) -> None:
        """Kill the process and wait until it is dead."""
        self.halt()
        self._pool.join()


class WorkerPool:
    """Used from one event loop; what blocks runs in `helpers`, and only `workers` may be read from another thread.

    Args:
        libraries: what the calls import. A call that is ended while its new worker may still import them takes the
            worker along, so the next one imports them before it is given a call, which then has not begun.
        serves: the slice whose calls these are.
    """

    def __init__(
        self,
        settings: Settings,
        template: Template,
        helpers: Executor,
        libraries: Sequence[str] = (),
        serves: str = "",
    ) -> None:
        self._settings = settings
        self._template = template
        self._helpers = helpers
        self._libraries = libraries
        self._serves = serves
        self._owed = False
        self._workers: set[Worker] = set()
        self._idle: list[Worker] = []
        self._line = Line[asyncio.Future[Worker]]()
        self._starting: set[asyncio.Task[None]] = set()
        self._failed = 0
        self._mean_s = 0.0

    @property
    def workers(self) -> Iterable[Worker]:
        return tuple(self._workers)

    async def run(
        self, name: str, function: Callable[..., Any], arguments: tuple[Any, ...], capture: Capture
    ) -> Outcome:
        """Run one call in a worker; cancelling kills it.

        Raises:
            ToolFailure: too many calls wait, the call took too long, or its process died.
        """
        lane = acting_lane()
        worker = await self._take(name, lane)
        fit = False
        try:
            answer = await self._answer(worker, name, function, arguments, capture)
            fit = answer.rss_mb <= self._settings.runtime.call_recycle_mb and worker.calls < CALLS_OF_A_WORKER
            worker.warmed = True
            return answer
        except asyncio.CancelledError:
            others = self._workers - {worker}
            self._owed = not (self._template.ready or any(each.warmed or each.warming for each in others))
            raise
        finally:
            self._mean_s += WEIGHT * (time.monotonic() - worker.busy_since - self._mean_s)
            self._line.end(lane)
            worker.busy = False
            if fit:
                self._give(worker)
            else:
                self._serve()
                self._retire(worker)

    def refresh(self) -> None:
        """End the idle workers that were not started the way the next ones will be."""
        idle, self._idle = self._idle, []
        for worker in idle:
            self._give(worker)

    async def _answer(
        self, worker: Worker, name: str, function: Callable[..., Any], arguments: tuple[Any, ...], capture: Capture
    ) -> Outcome:
        limit_s = self._settings.runtime.call_timeout_s
        try:
            return await asyncio.wrap_future(worker.run(function, arguments, capture, limit_s))
        except CallTimeout:
            raise ToolFailure(f"{name} did not finish within {limit_s:g} s", "Ask for less at a time.") from None
        except ProcessExpired as error:
            raise death(name, error.exitcode) from error
        except BrokenProcessPool as error:
            raise ToolFailure(f"the process for {name} died", "A new one serves the next call: repeat it.") from error

    async def _take(self, name: str, lane: str) -> Worker:
        """A worker that is free: of each lane in the order of asking, and of one lane after the other."""
        if self._line.waiting(lane) >= self._settings.runtime.call_queue:
            raise self._full(name, lane)
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[Worker] = loop.create_future()
        self._line.join(lane, waiter)
        self._serve()
        if not self._workers:
            self._grow()
        hurry = loop.call_later(GROW_AFTER_S, self._grow)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and not waiter.exception():
                self._line.end(lane)
                self._give(waiter.result())
            raise
        finally:
            hurry.cancel()
            self._line.leave(lane, waiter)

    def _give(self, worker: Worker) -> None:
        """Hand a free worker to whoever is next."""
        if worker.forked != self._template.ready:
            self._retire(worker)
            return
        self._idle.append(worker)
        self._serve()

    def _serve(self) -> None:
        """Let the idle workers serve who waits.

        Those beyond the usual number serve newcomers alone, and go once the others are not all held any more.
        """
        usual = self._settings.runtime.call_workers
        while self._idle and (found := self._line.take(newcomers_only=self._line.served >= usual)):
            lane, waiter = found
            if waiter.done():
                continue
            if (worker := self._fit()) is None:
                self._line.join_first(lane, waiter)
                self._grow()
                break
            self._line.begin(lane)
            waiter.set_result(worker)
        while self._idle and len(self._workers) > usual > self._line.served:
            self._retire(self._idle.pop(), replace=False)

    def _fit(self) -> Worker | None:
        """An idle worker that takes calls."""
        while self._idle:
            worker = self._idle.pop()
            if worker.forked == self._template.ready and worker.alive:
                return worker
            self._retire(worker)
        return None

    def _grow(self) -> None:
        if any(worker.warming for worker in self._workers):
            return
        if (len(self._line) or self._owed) and len(self._workers) < self._most:
            worker = Worker(self._settings, self._template, self._serves)
            worker.warming, self._owed = self._owed and not worker.forked, False
            self._workers.add(worker)
            task = asyncio.ensure_future(self._open(worker))
            self._starting.add(task)
            task.add_done_callback(self._starting.discard)

    @property
    def _most(self) -> int:
        runtime = self._settings.runtime
        return runtime.call_workers + (runtime.guest_workers if self._line.has_newcomer else 0)

    async def _open(self, worker: Worker) -> None:
        try:
            await asyncio.get_running_loop().run_in_executor(self._helpers, lambda: worker.alive)
            if worker.warming:
                await asyncio.wrap_future(worker.load(self._libraries, self._settings.runtime.call_timeout_s))
                worker.warming, worker.warmed = False, True
        except (OSError, RuntimeError) as error:  # no memory for it, it died over its imports, or the server ends
            self._failed += 1
            another = worker.warming or (worker.forked and not self._template.ready) or self._failed < STARTS
            self._retire(worker, replace=another)
            if not another:
                why = error.__cause__ or error
                text = f"no worker can be started: {str(why) or type(why).__name__}"
                self._fail(ToolFailure(text, "Repeat it in a minute."))
        else:
            self._failed = 0
            self._give(worker)

    def _retire(self, worker: Worker, replace: bool = True) -> None:
        """Kill a worker; when the server ends, that is done by whoever ends it."""
        with suppress(RuntimeError):
            self._helpers.submit(worker.stop)
            self._workers.discard(worker)
            if replace:
                self._grow()

    def _fail(self, failure: ToolFailure) -> None:
        """Nobody will serve those who wait."""
        if not self._workers:
            for waiter in self._line:
                if not waiter.done():
                    waiter.set_exception(failure)

    def _full(self, name: str, lane: str) -> ToolFailure:
        """How long until those who wait are served, by what the last calls took and the running ones have taken."""
        now = time.monotonic()
        each_s = max([self._mean_s, *(now - worker.busy_since for worker in self._workers if worker.busy)])
        wait_s = math.ceil(max(1.0, len(self._line) * each_s / max(1, len(self._workers))))
        return ToolFailure(
            f"{name.partition('.')[0]}: {self._line.waiting(lane)} calls of this caller wait (runtime.call_queue)",
            f"Repeat it in about {wait_s} s.",
        )


def death(name: str, exit_code: int) -> ToolFailure:
    """What a worker that died in a call means to the caller."""
    again = "A new one serves the next call"
    if exit_code >= 0:
        return ToolFailure(f"the process that ran {name} ended with exit code {exit_code}", f"{again}.")
    number = -exit_code
    known = {each.value: each.name for each in signal.Signals}.get(number, f"signal {number}")
    if number in (signal.SIGKILL, signal.SIGABRT):
        why = "the usual cause is memory, so try with less data"
    else:
        why = "a library crashed, so the same call may crash again"
    return ToolFailure(f"the process that ran {name} was killed by {known}", f"{again}; {why}.")
