"""How many requests one caller may make within a minute."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable

from ..tools.errors import ToolFailure

WITHIN_S = 60.0
# Whoever is forgotten may make as many as anybody new.
MAX_CALLERS = 10_000


class Rates:
    """A bucket of requests for each caller, which fills up again within a minute (token bucket).

    Args:
        most: requests of one caller within a minute; 0: as many as it likes.
    """

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        # What is left of a caller's requests, and as of when.
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def used(self, caller: str) -> int:
        """How many of its requests a caller does not have back yet; 0 where it may make any number."""
        return self._most - math.floor(self._now(caller, self._clock()))

    def _now(self, caller: str, now: float) -> float:
        left, then = self._left.get(caller, (float(self._most), now))
        return min(float(self._most), left + (now - then) * self._most / WITHIN_S)

    def admit(self, caller: str) -> None:
        """Count a request. Raises ToolFailure if it is one too many."""
        if not self._most:
            return
        now = self._clock()
        left = self._now(caller, now)
        if left < 1:
            wait_s = math.ceil((1 - left) * WITHIN_S / self._most)
            raise ToolFailure(
                f"{self._most} requests of this caller within a minute are all that it may make (server.caller_calls)",
                f"Repeat it in {wait_s} s.",
            )
        self._left[caller] = (left - 1, now)
        self._left.move_to_end(caller)
        if len(self._left) > MAX_CALLERS:
            self._left.popitem(last=False)
