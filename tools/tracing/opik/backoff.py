"""How long the shipper waits for what."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass

from .client import Later


@dataclass(frozen=True)
class Timing:
    """Seconds, unless it says otherwise. `give_up_s` holds once nobody writes traces, `idle_s` always."""

    connect_s: float = 5.0
    read_s: float = 15.0
    first_wait_s: float = 0.5
    longest_wait_s: float = 60.0
    locked_out_s: float = 30.0
    poll_s: float = 0.5
    give_up_s: float = 60.0
    idle_s: float = 300.0
    started_after_s: float = 2.0
    max_age_h: float = 23.0


@dataclass
class Backoff:
    """How long to wait after failures in a row."""

    timing: Timing
    failures: int = 0
    since: float = 0.0

    def after(self, failure: Later) -> float:
        self.since = self.since or time.monotonic()
        self.failures += 1
        if failure.after_s is not None:
            return failure.after_s
        if failure.locked_out:
            return self.timing.locked_out_s
        wait = self.timing.first_wait_s * 2 ** min(self.failures - 1, 16)
        return min(self.timing.longest_wait_s, wait) * random.uniform(0.8, 1.2)

    def reset(self) -> None:
        self.failures, self.since = 0, 0.0

    @property
    def exhausted(self) -> bool:
        return bool(self.since) and time.monotonic() - self.since > self.timing.give_up_s
