"""What is counted of the calls of one deployment."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

KEPT = 2000


@dataclass(frozen=True)
class Figures:
    """Calls and how many failed (HTTP 5xx, or no answer); `p50_ms` and `p99_ms` of the newest 2,000; shadow answers
    compared, and how many differed."""

    requests: int = 0
    errors: int = 0
    p50_ms: float | None = None
    p99_ms: float | None = None
    in_flight: int = 0
    compared: int = 0
    differed: int = 0


class Counted:
    def __init__(self) -> None:
        self.in_flight = 0
        self.requests = 0
        self.errors = 0
        self.compared = 0
        self.differed = 0
        self._newest: deque[tuple[float, bool]] = deque(maxlen=KEPT)

    def note(self, ms: float, failed: bool) -> None:
        self.requests += 1
        self.errors += failed
        self._newest.append((ms, failed))

    def figures(self, after: int = 0) -> Figures:
        """Of the calls after the first `after`, of which only the newest are kept."""
        count = max(0, self.requests - after)
        newest = list(self._newest)[-count:] if count else []
        times = sorted(ms for ms, _ in newest)
        return Figures(
            requests=count,
            errors=sum(failed for _, failed in newest) if after else self.errors,
            p50_ms=_quantile(times, 0.5),
            p99_ms=_quantile(times, 0.99),
            in_flight=self.in_flight,
            compared=self.compared,
            differed=self.differed,
        )


def _quantile(ordered: Sequence[float], share: float) -> float | None:
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 3) if ordered else None
