"""Calls that only wait for another process of ours, such as an endpoint: threads of the server, a lane for each caller.

A worker would add its own way there and back to each, and have one of them at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from typing import Concatenate, ParamSpec, Protocol, TypeVar, runtime_checkable

from ....config.settings import Settings
from ...errors import ToolFailure
from ...tracing.span import Sink, Tracer
from ..identity import acting, acting_lane
from ..work import Work
from .line import Line

P = ParamSpec("P")
T = TypeVar("T")

# At a time; beyond the usual number only calls of callers of whom none runs.
USUAL, MOST = 8, 16
# Of one caller. Each waiting call holds what it was asked.
MOST_WAITING = 4096


@runtime_checkable
class Closes(Protocol):
    """What is kept between calls and has to be closed."""

    def close(self) -> None: ...


class Threads:
    """Used from one event loop. A call that is cancelled is not waited for any more, and ends by itself."""

    def __init__(self, settings: Settings, sink: Sink) -> None:
        self._settings = settings
        self._sink = sink
        self._line = Line[asyncio.Future[None]]()
        self._threads = ThreadPoolExecutor(MOST, "asks")
        self._cache: dict[object, object] = {}

    async def run(
        self, toolset: str, function: Callable[Concatenate[Work, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run `function(work, *args)` once it is its turn.

        Raises:
            ToolFailure: what the function raised, or too many calls of this caller wait.
        """
        lane, loop = acting_lane(), asyncio.get_running_loop()
        await self._turn(toolset, lane)
        tracer = Tracer(self._sink, self._settings.tracing.capture_for(toolset))
        work = Work(self._settings, tracer, cache=self._cache, by=acting())
        running = self._threads.submit(copy_context().run, lambda: function(work, *args, **kwargs))

        def ended(_: Future[T]) -> None:
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(self._end, lane)

        running.add_done_callback(ended)
        return await asyncio.wrap_future(running)

    def close(self) -> None:
        """Break what is still waited for; from any thread."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for kept in list(self._cache.values()):
            if isinstance(kept, Closes):
                kept.close()

    async def _turn(self, toolset: str, lane: str) -> None:
        if self._line.waiting(lane) >= MOST_WAITING:
            raise ToolFailure(f"{toolset}: {MOST_WAITING} calls of this caller wait", "Repeat it in a while.")
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._line.join(lane, turn)
        self._serve()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._end(lane)
            self._line.leave(lane, turn)
            raise

    def _serve(self) -> None:
        while (served := self._line.served) < MOST and (taken := self._line.take(newcomers_only=served >= USUAL)):
            lane, turn = taken
            if not turn.done():
                self._line.begin(lane)
                turn.set_result(None)

    def _end(self, lane: str) -> None:
        self._line.end(lane)
        self._serve()
