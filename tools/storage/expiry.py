"""Which rows are too old, by a clock that may be wrong."""

from __future__ import annotations

import time

DAY_S = 24 * 3600.0


class Expiry:
    """Says from when on rows are kept.

    A wall clock that is set ahead would make everything too old at once. So time goes on from the newest row that was
    there when this was first asked: by a clock that cannot be set, and never beyond the wall clock.
    """

    def __init__(self, keep_days: float) -> None:
        self._keep_s = keep_days * DAY_S
        self._known: tuple[float, float] | None = None

    def now(self, newest: float) -> float:
        """The time that old rows are held against; 0 while no row is known.

        Args:
            newest: the time of the newest row, 0 without one.
        """
        if self._known is None:
            if not newest:
                return 0.0
            self._known = newest, time.monotonic()
        known, since = self._known
        return min(time.time(), known + time.monotonic() - since)

    def before(self, newest: float) -> float:
        """Rows from before this time are too old."""
        return max(0.0, self.now(newest) - self._keep_s)
