"""Each scenario is run by this module as a program: a pool is forked only from a process without threads."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from mlops_mcp.tools.errors import OutOfMemory, ToolFailure
from mlops_mcp.tools.platforms import forks_warm
from mlops_mcp.tools.runtime.dispatcher import Crashed, Dispatcher
from mlops_mcp.tools.runtime.pool import ForkedPool
from mlops_mcp.tools.tuning.pruning import Bars
from mlops_mcp.tools.tuning.scoring import Alone, OfObjective, Point, Scored, SideBySide, score

from ...apart import answer, apart

pytestmark = pytest.mark.skipif(not forks_warm(), reason="here nothing is forked that has libraries loaded")


@dataclass
class Toy:
    """Scores a point by itself, or does what it says in the processes of a pool."""

    here: int
    parts: int = 3

    def get_ready(self) -> None: ...

    def steps(self, params: dict[str, Any]) -> Iterator[float]:
        does, away = params.get("does"), os.getpid() != self.here
        if does == "die" and away:
            os.kill(os.getpid(), signal.SIGKILL)
        if does == "leader" and away:
            os.kill(os.getppid(), signal.SIGKILL)
            signal.pause()
        if does == "refuse":
            raise ToolFailure("not this one")
        if does == "swell":
            raise MemoryError
        if does == "crash":
            raise KeyError("nobody foresaw this")
        yield from (params["x"] + step for step in range(self.parts))


def opened(size: int = 2) -> SideBySide:
    pool, toy = ForkedPool(size), Toy(os.getpid())
    dispatcher = Dispatcher(pool)
    dispatcher.begin(OfObjective(toy, 1))  # type: ignore[arg-type]
    return SideBySide(dispatcher, Alone(toy))  # type: ignore[arg-type]


def all_of(points: list[dict[str, Any]], *means: float) -> list[Scored]:
    scoring = opened()
    for number, params in enumerate(points):
        scoring.put(Point(number, params, Bars(True, means)))
    found = [scoring.take(number) for number in range(len(points))]
    scoring.dispatcher.pool.close()
    return found


def in_order() -> list[Any]:
    return [scored.values for scored in all_of([{"x": float(number)} for number in range(9)])]


def deadly() -> list[Any]:
    points: list[dict[str, Any]] = [{"x": 1.0}, {"does": "die"}, {"x": 2.0}, {"does": "refuse"}, {"x": 3.0}]
    return [scored.failure or scored.values[0] for scored in all_of(points)]


def lost() -> list[Any]:
    points: list[dict[str, Any]] = [{"x": 1.0}, {"does": "leader", "x": 5.0}, {"x": 2.0}, {"x": 3.0}]
    return [scored.values[0] for scored in all_of(points)]


def raised() -> list[str]:
    found = list[str]()
    for does in ("swell", "crash"):
        try:
            all_of([{"does": does}])
        except (OutOfMemory, Crashed) as error:
            found.append(f"{type(error).__name__} {error} {len(getattr(error, '__notes__', []))}")
    return found


def given_up() -> list[Any]:

    return [[scored.pruned, len(scored.values)] for scored in all_of([{"x": x} for x in (0.0, 1.0, 2.0)], 1.0, 2.0)]


def dropped() -> list[Any]:
    scoring = opened()
    for number in range(4):
        scoring.put(Point(number, {"x": 0.0}, Bars(True)))
    gone = sorted(scoring.drop())
    kept = [scoring.take(number).values[0] for number in range(4) if number not in gone]
    scoring.dispatcher.pool.close()
    return [gone, kept]


def test_points_are_scored_side_by_side_and_taken_in_any_order() -> None:
    assert apart(__name__, "in_order") == [[number, number + 1, number + 2] for number in range(9)]


def test_a_point_that_kills_its_process_twice_has_failed_and_the_others_are_scored() -> None:
    assert apart(__name__, "deadly") == [1.0, "its process died (SIGKILL)", 2.0, "not this one", 3.0]


def test_points_are_scored_here_once_all_processes_are_lost() -> None:
    assert apart(__name__, "lost") == [1.0, 5.0, 2.0, 3.0]


def test_what_ends_a_search_here_ends_it_there() -> None:
    memory, crash = apart(__name__, "raised")
    assert memory.startswith("OutOfMemory the memory limit was reached")
    assert crash == "Crashed KeyError: 'nobody foresaw this' 1"


def test_a_hopeless_point_is_given_up() -> None:
    assert apart(__name__, "given_up") == [[True, 1], [True, 2], [False, 3]]


def test_points_that_nobody_has_begun_with_are_taken_back() -> None:
    assert apart(__name__, "dropped") == [[2, 3], [0.0, 0.0]]


def test_points_are_scored_alike_in_this_process() -> None:
    alone = Alone(Toy(os.getpid()))  # type: ignore[arg-type]
    alone.put(Point(7, {"x": 1.0}, Bars(True)))
    assert alone.take(7).values == [1.0, 2.0, 3.0]
    assert score(Toy(os.getpid()), Point(1, {"does": "refuse"}, Bars(True))).failure == "not this one"  # type: ignore[arg-type]


if __name__ == "__main__":
    answer(globals())
