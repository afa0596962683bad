"""Look again and again until something is so; what tests wait for comes by itself, in a time that nobody measures."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
LOOK_EVERY_S = 0.01
# Whoever waits leaves the processor to what is waited for: a look is followed by a rest of so many times its length.
REST = 4.0
PATIENCE_S = 600.0


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    pause = threading.Event()
    began = time.thread_time()
    while not condition():
        assert time.monotonic() < deadline, "it did not become so in time"
        pause.wait(_rest(began))
        began = time.thread_time()


async def eventually(condition: Callable[[], T | None]) -> T:
    """What the condition gave when it was so."""
    async with asyncio.timeout(PATIENCE_S):
        began = time.thread_time()
        while not (value := condition()):
            await asyncio.sleep(_rest(began))
            began = time.thread_time()
    return value


def _rest(began: float) -> float:
    return max(LOOK_EVERY_S, REST * (time.thread_time() - began))
