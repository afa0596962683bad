"""Call workers: warm processes per slice, forked from one that has imported, but never run, their libraries."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from ...config.settings import Settings
from ..tracing.redaction import redact
from ..tracing.span import Sink
from .forks import fork_server
from .lanes import Lane
from .preload import LIBRARIES, wanted
from .work import Work
from .worker import Answer, Crash, slice_of

P = ParamSpec("P")
T = TypeVar("T")

logger = logging.getLogger(__name__)

# What uses the same library shares its workers, so that it is imported once.
SHARED_LANES = {"registry": "tracking", "runs": "tracking"}
# Threads that start and end workers; the ones they start die with them.
HELPERS = 4


class CallPool:
    """One lane per slice, so that a slice that is slow or dies disturbs no other.

    Args:
        slices: whose libraries are imported before they are needed.
    """

    def __init__(self, settings: Settings, sink: Sink, slices: Iterable[str] = tuple(LIBRARIES)) -> None:
        self._settings = settings
        self._sink = sink
        self._preload = wanted(slices) if settings.runtime.preload else []
        self._forks = fork_server()
        self._helpers = ThreadPoolExecutor(HELPERS, "calls")
        self._lanes: dict[str, Lane] = {}
        self._warming = False

    def warm(self) -> None:
        """Let the libraries be imported in the background; workers that are started meanwhile import their own.

        Call it in the event loop of the main thread: what does the importing dies with the thread that started it.
        """
        if not self._warming and not self._forks.ready:
            self._warming = True
            loop = asyncio.get_running_loop()

            def tell() -> None:
                with suppress(RuntimeError):  # the loop has ended
                    loop.call_soon_threadsafe(self._warmed)

            self._forks.start(self._preload, tell)

    async def call(self, function: Callable[Concatenate[Work, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `function(work, *args)` in the lane of its slice; cancelling kills the worker.

        Raises:
            ToolFailure: what the function raised, too many calls waiting, a timeout, or the death of the worker.
        """
        assert not kwargs, "arguments of a call are positional"
        slice_name = slice_of(function.__module__)
        name = f"{slice_name}.{function.__name__}"
        try:
            answer = await self._lane(slice_name).run(name, function, args)
        finally:
            self.warm()
        return cast(T, self._unwrap(answer, name))

    def close(self) -> None:
        """Kill all workers; blocking, from any thread."""
        self._helpers.shutdown()
        seats = [seat for lane in self._lanes.values() for seat in lane.seats]
        for seat in seats:
            seat.halt()
        for seat in seats:
            seat.stop()

    def _lane(self, name: str) -> Lane:
        lane = SHARED_LANES.get(name, name)
        if lane not in self._lanes:
            self._lanes[lane] = Lane(self._settings, self._forks, self._helpers)
        return self._lanes[lane]

    def _warmed(self) -> None:
        self._warming = False
        for lane in self._lanes.values():
            lane.refresh()
        self.warm()  # once more if it has died; nothing if it is ready

    def _unwrap(self, answer: Answer, name: str) -> Any:
        for span in answer.spans:
            self._sink(span)
        if answer.failure is not None:
            raise answer.failure
        if answer.crash is not None:
            logger.error("%s crashed\n%s", name, redact(answer.crash.traceback))
            raise CallCrashed(answer.crash)
        return answer.value


class CallCrashed(Exception):
    """An unforeseen exception inside a worker; its text is for the trace and the log, not for the agent."""

    def __init__(self, crash: Crash) -> None:
        super().__init__(crash.type, crash.message)
        self.crash = crash
