"""Look again and again until something is so; what tests wait for comes by itself, in a time that nobody measures."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
LOOK_EVERY_S = 0.01
PATIENCE_S = 600.0


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "it did not become so in time"
        pause.wait(LOOK_EVERY_S)


async def eventually(condition: Callable[[], T | None]) -> T:
    """What the condition gave when it was so."""
    async with asyncio.timeout(PATIENCE_S):
        while not (value := condition()):
            await asyncio.sleep(LOOK_EVERY_S)
    return value
