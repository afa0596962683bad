"""A row of the table: the same work by this project and by something else, and whether both answer alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Outcome:
    """Seconds of both sides (medians of rounds in turn), and what was seen of their answers."""

    ours_s: float
    beside_s: float | None
    equal: bool | None
    """None where there is nothing to compare with."""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    task: str
    beside: str
    limit: str
    """The bound that the project holds itself to, in words."""
    run: Callable[[Path], Outcome]
    """Does the work in an empty folder."""


def in_turn(ours: Callable[[], object], beside: Callable[[], object], rounds: int = 3) -> tuple[float, float]:
    """Median seconds of both, measured one after the other in each round, so that both see the same machine."""
    times = [(seconds(ours), seconds(beside)) for _ in range(rounds)]
    return statistics.median(a for a, _ in times), statistics.median(b for _, b in times)


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
