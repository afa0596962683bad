"""The calls that run: one that takes longer than its caller bears goes on, and the same call gets its answer."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Generic, TypeVar

import anyio
from mcp.types import CallToolResult, InputRequiredResult, TextContent

from ..tools.errors import ToolFailure
from ..tools.runtime.waits import BY_HAND_S, Caller, WaitLimit, WaitPolicy
from .arguments import CallArguments

# Answers kept of one caller; the oldest goes first.
MAX_KEPT = 20
T = TypeVar("T")


@dataclass(frozen=True)
class Asked:
    """A call as its caller made it.

    Args:
        gone: whether its connection has been closed.
        waits: its tool keeps to the limit by itself.
        keep_s: how long its answer is kept if nobody has fetched it.
    """

    caller: Caller
    tool: str
    given: CallArguments
    limit: WaitLimit
    gone: Callable[[], Awaitable[bool]]
    waits: bool = False
    keep_s: float = 0.0

    def repeats(self, other: Asked) -> bool:
        """Whether it is the same call once more, which may wait for longer or less."""
        return self.tool == other.tool and self.given == other.given


@dataclass(eq=False)
class Running(Generic[T]):
    """A call under way. One that is `left` has lost its caller and waits for the same call to fetch its answer."""

    asked: Asked
    task: asyncio.Task[T]
    left: bool = False
    kept: asyncio.TimerHandle | None = None


class CallsInFlight(Generic[T]):
    """Runs each call in a task of its own, used from one event loop.

    A caller that gave up before is answered in time: that the call goes on. So is one, afterwards, whose time-out
    nobody told us of: it makes the same call while the first one runs.

    Args:
        dated: an answer that says how many seconds ago its call began.
    """

    def __init__(self, waits: WaitPolicy, dated: Callable[[T, float], T]) -> None:
        self._waits = waits
        self._dated = dated
        self._running: dict[str, list[Running[T]]] = {}

    async def answer(self, asked: Asked, run: Callable[[Asked], Awaitable[T]]) -> T:
        """Run a call, or wait for the answer of the same one.

        Args:
            run: is given the call with the limit that holds by what it says of its caller.

        Raises:
            ToolFailure: it takes longer than its caller bears, and goes on.
        """
        same = self._same(asked)
        asked = replace(asked, limit=replace(self._waits.limit(asked.caller), begun=asked.limit.begun))
        running = same or self._start(asked, run)
        try:
            await asyncio.wait({running.task}, timeout=_patience_s(asked))
        except asyncio.CancelledError:
            self._waits.gave_up(asked.caller, asked.limit.passed_s)
            if not running.left:
                await self._end(running)
            raise
        if not running.task.done():
            self._leave(running)
            raise ToolFailure(
                f"{asked.tool} takes longer than this client waits, and goes on", "Repeat the same call for its answer."
            )
        if await asked.gone():
            self._leave(running)
            self._waits.gave_up(asked.caller, asked.limit.passed_s)
        elif not (running.left and running.asked is asked):  # or its caller has asked once more by now
            self._forget(running)
            self._waits.answered(asked.caller, asked.limit.passed_s)
        answer = running.task.result()
        return self._dated(answer, running.asked.limit.passed_s) if same else answer

    def _same(self, asked: Asked) -> Running[T] | None:
        """The same call of this caller that it no longer waits for: nobody repeats a call that he still waits for."""
        for running in self._running.get(asked.caller.scope, ()):
            if not asked.repeats(running.asked):
                continue
            if not running.left and (passed_s := running.asked.limit.passed_s) >= BY_HAND_S:
                self._waits.gave_up(asked.caller, passed_s)
                self._leave(running)
            if running.left and not asked.waits:
                return running
        return None

    def _start(self, asked: Asked, run: Callable[[Asked], Awaitable[T]]) -> Running[T]:
        running = Running(asked, asyncio.ensure_future(run(asked)))
        self._running.setdefault(asked.caller.scope, []).append(running)
        return running

    def _leave(self, running: Running[T]) -> None:
        if not running.left:
            running.left = True
            running.task.add_done_callback(partial(self._keep, running))

    def _keep(self, running: Running[T], task: asyncio.Task[T]) -> None:
        _look_at(task)
        if running.asked.waits:
            self._forget(running)
            return
        running.kept = asyncio.get_running_loop().call_later(running.asked.keep_s, self._forget, running)
        kept = [each for each in self._running.get(running.asked.caller.scope, ()) if each.kept]
        for oldest in kept[:-MAX_KEPT]:
            self._forget(oldest)

    def _forget(self, running: Running[T]) -> None:
        if running.kept:
            running.kept.cancel()
        of_caller = self._running.get(running.asked.caller.scope, [])
        if running in of_caller:
            of_caller.remove(running)
        if not of_caller:
            self._running.pop(running.asked.caller.scope, None)

    async def _end(self, running: Running[T]) -> None:
        self._forget(running)  # the same call, made while this one is being ended, is a new one
        running.task.cancel()
        with anyio.CancelScope(shield=True):
            await asyncio.wait({running.task})
        _look_at(running.task)


def dated(result: CallToolResult | InputRequiredResult, seconds: float) -> CallToolResult | InputRequiredResult:
    """The answer of a call that was made before, which says so."""
    if isinstance(result, InputRequiredResult):
        return result
    said = f"The answer of the same call, begun {seconds:.0f} s ago; repeat it to run it again."
    return result.model_copy(update={"content": [*result.content, TextContent(type="text", text=said)]})


def _look_at(task: asyncio.Task[Any]) -> None:
    """A failure that nobody fetches is no mistake of ours."""
    if not task.cancelled():
        task.exception()


def _patience_s(asked: Asked) -> float | None:
    """How long the caller is kept waiting; one that never gave up, for as long as it takes."""
    if asked.waits or math.isinf(asked.limit.given_up_s):
        return None
    return max(0.0, asked.limit.latest_s - asked.limit.passed_s)
