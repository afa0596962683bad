"""Short calls: a pool of warm worker processes per toolset, forked from the template once that is ready."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from ....config.settings import Settings
from ...slices import SLICES, workers_of
from ...tracing.redaction import redact
from ...tracing.span import Sink
from ..outcome import Crash, Outcome
from ..template.handle import own_template
from ..template.preload import wanted
from ..work import Work
from .pool import Worker, WorkerPool
from .threads import Threads

P = ParamSpec("P")
T = TypeVar("T")

logger = logging.getLogger(__name__)

# Threads that start and end workers; the ones they start die with them.
HELPERS = 4


class CallExecutor:
    """One pool of workers per toolset, so that one that is slow or dies disturbs no other.

    Args:
        toolsets: whose libraries are imported before they are needed.
    """

    def __init__(self, settings: Settings, sink: Sink, toolsets: Iterable[str] = SLICES) -> None:
        self._settings = settings
        self._sink = sink
        self._preload = wanted(toolsets) if settings.runtime.preload != "never" else []
        self._template = own_template()
        self._helpers = ThreadPoolExecutor(HELPERS, "calls")
        self._asking = Threads(settings, sink)
        self._pools: dict[str, WorkerPool] = {}
        self._warming = False

    def warm(self) -> None:
        """Let the libraries be imported in the background; workers that are started meanwhile import their own.

        Call it in the event loop of the main thread: what does the importing dies with the thread that started it.
        """
        if not self._warming and not self._template.ready:
            self._warming = True
            loop = asyncio.get_running_loop()

            def tell() -> None:
                with suppress(RuntimeError):  # the loop has ended
                    loop.call_soon_threadsafe(self._warmed)

            self._template.start(self._preload, self._settings.runtime.job_threads, tell)

    async def call(
        self, toolset: str, function: Callable[Concatenate[Work, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run `function(work, *args)` in a worker of the toolset; cancelling kills the worker; another one warms up.

        Raises:
            ToolFailure: what the function raised, too many calls waiting, a timeout, or the death of the worker.
        """
        assert not kwargs, "arguments of a call are positional"
        name = f"{toolset}.{function.__name__}"
        try:
            outcome = await self._pool(toolset).run(name, function, args, self._settings.tracing.capture_for(toolset))
        finally:
            self.warm()
        return cast(T, self._unwrap(outcome, name))

    async def ask(
        self, toolset: str, function: Callable[Concatenate[Work, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run `function(work, *args)`, which only waits for another process of ours, in a thread right here."""
        return await self._asking.run(toolset, function, *args, **kwargs)

    def close(self) -> None:
        """Kill all workers; blocking, from any thread."""
        self._asking.close()
        self._helpers.shutdown()
        workers = self.workers
        for worker in workers:
            worker.halt()
        for worker in workers:
            worker.stop()

    @property
    def workers(self) -> Sequence[Worker]:
        """Those of all pools; they may be read from any thread."""
        return [worker for pool in self._pools.values() for worker in pool.workers]

    def _pool(self, toolset: str) -> WorkerPool:
        pool = workers_of(toolset)
        if pool not in self._pools:
            self._pools[pool] = WorkerPool(self._settings, self._template, self._helpers, wanted([pool]), pool)
        return self._pools[pool]

    def _warmed(self) -> None:
        self._warming = False
        for pool in self._pools.values():
            pool.refresh()
        self.warm()  # once more if it has died; nothing if it is ready

    def _unwrap(self, outcome: Outcome, name: str) -> Any:
        for span in outcome.spans:
            self._sink(span)
        if outcome.failure is not None:
            raise outcome.failure
        if outcome.crash is not None:
            logger.error("%s crashed\n%s", name, redact(outcome.crash.traceback))
            raise CallCrashed(outcome.crash)
        return outcome.value


class CallCrashed(Exception):
    """An unforeseen exception inside a worker; its text is for the trace and the log, not for the agent."""

    def __init__(self, crash: Crash) -> None:
        super().__init__(crash.type, crash.message)
        self.crash = crash
