"""How points are scored: one after the other in this process, or several at a time in processes of their own."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from ..errors import ToolFailure
from ..runtime.dispatcher import Dispatcher, value
from ..runtime.pool import Died, Pool
from .objective import EffectObjective, Objective, PredictionObjective
from .pruning import Bars


@dataclass(frozen=True)
class Point:
    number: int
    params: dict[str, Any]
    bars: Bars


@dataclass(frozen=True)
class Scored:
    """The score on each part; not on all, if the point was `pruned` or is a `failure`. Seconds since the epoch."""

    values: list[float]
    pruned: bool = False
    failure: str = ""
    began: float = 0.0
    ended: float = 0.0


class Scoring(Protocol):
    @property
    def width(self) -> int:
        """How many points are to be under way, so that nothing has to wait for another one."""
        ...

    def put(self, point: Point) -> None: ...

    def take(self, number: int) -> Scored:
        """Wait for a point that was put."""
        ...

    def drop(self) -> Collection[int]:
        """Take back the points that nobody has begun with."""
        ...

    @property
    def notes(self) -> Sequence[str]:
        """What is to be told of how the points were scored."""
        ...


def score(objective: Objective, point: Point) -> Scored:
    """Score one point on each part in turn, until it is done or hopeless."""
    values, began = list[float](), time.time()
    try:
        for value in objective.steps(point.params):
            values.append(value)
            if len(values) < objective.parts and point.bars.fails(values):
                return Scored(values, pruned=True, began=began, ended=time.time())
    except ToolFailure as failure:
        return Scored(values, failure=failure.message, began=began, ended=time.time())
    return Scored(values, began=began, ended=time.time())


@dataclass
class Alone:
    """In this process, when the score is asked for."""

    objective: Objective
    notes: Sequence[str] = ()
    _points: dict[int, Point] = field(default_factory=dict[int, Point])

    @property
    def width(self) -> int:
        return 1

    def put(self, point: Point) -> None:
        self._points[point.number] = point

    def take(self, number: int) -> Scored:
        return score(self.objective, self._points.pop(number))

    def drop(self) -> Collection[int]:
        dropped, self._points = self._points, {}
        return dropped


@dataclass(frozen=True)
class OfObjective:
    """What a pool is asked about. `threads` holds for all native code."""

    objective: Objective
    threads: int

    def get_ready(self) -> None:
        self.objective.get_ready()

    def answer(self, question: Point) -> Scored:
        from threadpoolctl import threadpool_limits

        with threadpool_limits(self.threads):
            return score(self.objective, question)


@dataclass
class SideBySide:
    """In the processes of a pool; should they all be lost, in this one."""

    dispatcher: Dispatcher
    alone: Alone
    _points: dict[int, Point] = field(default_factory=dict[int, Point])

    @property
    def width(self) -> int:
        return self.dispatcher.width

    @property
    def notes(self) -> Sequence[str]:
        return self.dispatcher.notes

    def put(self, point: Point) -> None:
        self._points[point.number] = point
        self.dispatcher.put(point.number, point)

    def take(self, number: int) -> Scored:
        said, point = self.dispatcher.take(number), self._points.pop(number)
        if said is None:
            self.alone.put(point)
            return self.alone.take(number)
        if isinstance(said, Died):
            return Scored([], failure=str(said), began=time.time(), ended=time.time())
        scored: Scored = value(said)
        return scored

    def drop(self) -> Collection[int]:
        dropped = self.dispatcher.drop()
        for number in dropped:
            del self._points[number]
        return dropped


def scoring_of(objective: Objective, pool: Pool | None) -> Scoring:
    """By a pool that has not begun yet, or by this process."""
    alone = Alone(objective)
    if pool is None:
        return alone
    threads, dispatcher = pool.share(objective.threads), Dispatcher(pool)
    assert isinstance(objective, PredictionObjective | EffectObjective)
    dispatcher.begin(OfObjective(replace(objective, threads=threads), threads))
    return SideBySide(dispatcher, alone)
