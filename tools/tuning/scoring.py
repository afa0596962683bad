"""How points are scored: one after the other in this process, or several at a time in processes of their own."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from ..errors import ToolFailure
from ..runtime.crew import Crew, CrewLost, Died
from ..runtime.outcome import Crash, Outcome
from .objective import EffectObjective, Objective, PredictionObjective
from .pruning import Bars

# What dies over a point twice does so because of the point.
LIVES = 2


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


class Crashed(Exception):
    """What nobody foresaw has happened in another process."""

    def __init__(self, crash: Crash) -> None:
        super().__init__(f"{crash.type}: {crash.message}")
        self.add_note(crash.traceback)


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
    """What a crew is asked about. `threads` holds for all native code."""

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
    """In the processes of a crew; should they all be lost, in this one.

    Twice as many points as processes are under way: who has to wait for the slowest has something to do meanwhile.
    """

    crew: Crew
    alone: Alone
    _waiting: deque[Point] = field(default_factory=deque[Point])
    _scored: dict[int, Scored] = field(default_factory=dict[int, Scored])
    _deaths: Counter[int] = field(default_factory=Counter[int])
    _under_way: dict[int, Point] = field(default_factory=dict[int, Point])
    _lost: bool = False

    @property
    def width(self) -> int:
        return 2 * self.crew.size

    def put(self, point: Point) -> None:
        self._under_way[point.number] = point
        self._waiting.append(point)
        self._hand_out()

    def take(self, number: int) -> Scored:
        while number not in self._scored and not self._lost:
            self._hear()
        point = self._under_way.pop(number)
        if number in self._scored:
            return self._scored.pop(number)
        self.alone.put(point)
        return self.alone.take(number)

    def drop(self) -> Collection[int]:
        dropped = {point.number for point in self._waiting}
        self._waiting.clear()
        for number in dropped:
            del self._under_way[number]
        return dropped

    def _hand_out(self) -> None:
        while self._waiting and self.crew.idle and not self._lost:
            try:
                self.crew.ask(self._waiting[0])
            except CrewLost:
                self._lost = True
            else:
                self._waiting.popleft()

    def _hear(self) -> None:
        try:
            point, said = self.crew.hear()
        except CrewLost:
            self._lost = True
            return
        if isinstance(said, Died):
            self._bury(point, said)
        else:
            self._scored[point.number] = _value(said)
        self._hand_out()

    def _bury(self, point: Point, death: Died) -> None:
        self._deaths[point.number] += 1
        if self._deaths[point.number] < LIVES:
            self._waiting.appendleft(point)
        else:
            self._scored[point.number] = Scored([], failure=str(death), began=time.time(), ended=time.time())


def scoring_of(objective: Objective, crew: Crew | None) -> Scoring:
    """A crew, which has not begun yet, shares the threads of this process."""
    alone = Alone(objective)
    if crew is None:
        return alone
    threads = max(1, objective.threads // crew.size)
    assert isinstance(objective, PredictionObjective | EffectObjective)
    try:
        crew.begin(OfObjective(replace(objective, threads=threads), threads))
    except CrewLost:
        return alone
    return SideBySide(crew, alone)


def _value(said: Outcome) -> Any:
    if said.failure is not None:
        raise said.failure
    if said.crash is not None:
        raise Crashed(said.crash)
    return said.value
