"""A new deployment proves itself: it gets more of the calls step by step, for as long as it holds what was asked."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from .models import Canary
from .proxy.figures import Figures

LOOK_EVERY_S = 0.25
# Before so many calls a share of failures says little, so a step goes on.
ENOUGH = 20


@dataclass(frozen=True)
class Trial:
    """How a deployment on trial is looked at and given its share.

    Args:
        figures: what was counted of it after so many calls.
        lives: whether its process does.
        share: gives it that percentage of the calls.
    """

    figures: Callable[[int], Figures]
    lives: Callable[[], bool]
    share: Callable[[int], None]


def failing(canary: Canary, trial: Trial, told: Callable[[int], None]) -> str:
    """Why the trial did not hold, and at which share; empty if it did at each."""
    for percent in canary.steps:
        told(percent)
        before = trial.figures(0).requests
        trial.share(percent)
        if why := _held(canary, trial, before):
            return f"at {percent} %: {why}"
    return ""


def _held(canary: Canary, trial: Trial, before: int) -> str:
    deadline = time.monotonic() + canary.hold_s
    while (left := deadline - time.monotonic()) > 0:
        time.sleep(min(LOOK_EVERY_S, left))
        if not trial.lives():
            return "its process died"
        seen = trial.figures(before)
        if seen.requests >= ENOUGH and (why := _beyond(canary, seen)):
            return why
    seen = trial.figures(before)
    return _beyond(canary, seen) if seen.requests else f"no call reached it in {canary.hold_s:g} s, so nothing is known"


def _beyond(canary: Canary, seen: Figures) -> str:
    rate = seen.errors / seen.requests
    if rate > canary.max_error_rate:
        return f"{seen.errors} of {seen.requests} calls failed ({rate:.1%}, allowed {canary.max_error_rate:.1%})"
    if canary.max_p99_ms is not None and (seen.p99_ms or 0) > canary.max_p99_ms:
        return f"p99 of {seen.requests} calls is {seen.p99_ms:g} ms (allowed {canary.max_p99_ms:g})"
    return ""
