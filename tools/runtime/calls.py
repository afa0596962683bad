"""Call workers: a warm process per slice, forked from a server that has imported, but never run, libraries."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as CallTimeout
from multiprocessing import forkserver
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from pebble import ProcessExpired, ProcessPool

from ...config.settings import Settings
from ..errors import ToolFailure
from ..tracing.span import Sink, current
from .limits import quiet_environment, thread_environment
from .work import Work
from .worker import Answer, Crash, initialize, invoke

P = ParamSpec("P")
T = TypeVar("T")

logger = logging.getLogger(__name__)

# Imported by the fork server, in the background: what nearly every call needs, nothing that takes seconds.
PRELOAD = ("mlops_mcp.tools.runtime.guard", "mlops_mcp.tools.runtime.worker", "pyarrow.parquet", "pandas")
# What uses the same library shares one worker, so that it is imported once.
SHARED_LANES = {"registry": "tracking", "runs": "tracking"}
WORKER_RECYCLED_AFTER = 2000


class CallPool:
    """One lane per slice: its calls run one at a time, in a process that keeps its library warm."""

    def __init__(self, settings: Settings, sink: Sink) -> None:
        self._settings = settings
        self._sink = sink
        self._lanes: dict[str, ProcessPool] = {}
        self._context = multiprocessing.get_context("forkserver")
        self._warm = False

    def warm(self) -> None:
        """Start the fork server; it dies with the calling thread, so call from the main one."""
        if self._warm:
            return
        self._warm = True
        if threading.current_thread() is threading.main_thread():
            os.environ.update(thread_environment(1))
            self._context.set_forkserver_preload(list(PRELOAD))
            forkserver.ensure_running()

    async def call(self, function: Callable[Concatenate[Work, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `function(work, *args)` in the lane of its slice; cancelling kills the worker.

        Raises:
            ToolFailure: what the function raised, a timeout, or the death of the worker.
        """
        assert not kwargs, "arguments of a call are positional"
        name = f"{_slice_of(function)}.{function.__name__}"
        limit = self._settings.runtime.call_timeout_s
        pool = self._lane(_slice_of(function))
        future = cast("Future[Answer]", pool.schedule(invoke, args=(function, args, current()), timeout=limit))
        try:
            answer = await asyncio.wrap_future(future)
        except CallTimeout:
            raise ToolFailure(f"{name} did not finish within {limit:g} s", "Ask for less at a time.") from None
        except ProcessExpired as error:
            raise ToolFailure(
                f"the process that ran {name} died (exit code {error.exitcode})",
                "A new one serves the next call; the usual cause is memory, so try with less data.",
            ) from error
        return cast(T, self._unwrap(answer, name))

    def close(self) -> None:
        for lane in self._lanes.values():
            cast(Any, lane).stop()
        for lane in self._lanes.values():
            lane.join(timeout=5)
        self._lanes.clear()

    def _lane(self, name: str) -> ProcessPool:
        lane = SHARED_LANES.get(name, name)
        if lane not in self._lanes:
            self.warm()
            self._lanes[lane] = ProcessPool(
                max_workers=1,
                max_tasks=WORKER_RECYCLED_AFTER,
                context=self._context,
                initializer=initialize,
                initargs=(self._settings, dict(quiet_environment())),
            )
        return self._lanes[lane]

    def _unwrap(self, answer: Answer, name: str) -> Any:
        for span in answer.spans:
            self._sink(span)
        if answer.failure is not None:
            raise answer.failure
        if answer.crash is not None:
            logger.error("%s crashed\n%s", name, answer.crash.traceback)
            raise CallCrashed(answer.crash)
        return answer.value


class CallCrashed(Exception):
    """An unforeseen exception inside a worker; its text is for the trace and the log, not for the agent."""

    def __init__(self, crash: Crash) -> None:
        super().__init__(crash.type, crash.message)
        self.crash = crash


def _slice_of(function: Callable[..., Any]) -> str:
    """`mlops_mcp.tools.<slice>.client` -> `<slice>`, `mlops_mcp.resources.<module>` -> `<module>`."""
    return function.__module__.split(".")[2]
