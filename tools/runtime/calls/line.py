"""Who is served next: a lane for each caller, so that nobody waits behind all that another one has asked for."""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Line(Generic[T]):
    """Those who wait, by their lanes, and how many of each lane are being served."""

    def __init__(self) -> None:
        # The lane that was served longest ago comes first.
        self._lanes: OrderedDict[str, deque[T]] = OrderedDict()
        self._served: Counter[str] = Counter()

    def __len__(self) -> int:
        return sum(map(len, self._lanes.values()))

    def __iter__(self) -> Iterator[T]:
        return (each for lane in self._lanes.values() for each in lane)

    @property
    def served(self) -> int:
        return self._served.total()

    @property
    def has_newcomer(self) -> bool:
        """Whether somebody waits of whom nothing is served."""
        return any(not self._served[lane] for lane in self._lanes)

    def waiting(self, lane: str) -> int:
        return len(self._lanes.get(lane, ()))

    def join(self, lane: str, who: T) -> None:
        self._lanes.setdefault(lane, deque()).append(who)

    def join_first(self, lane: str, who: T) -> None:
        """For whoever was taken and could not be served."""
        self._lanes.setdefault(lane, deque()).appendleft(who)
        self._lanes.move_to_end(lane, last=False)

    def leave(self, lane: str, who: T) -> None:
        """Whoever has been taken already has left."""
        if who in self._lanes.get(lane, ()):
            self._lanes[lane].remove(who)
            self._forget_empty(lane)

    def take(self, newcomers_only: bool) -> tuple[str, T] | None:
        """The next one: of whom the least is served, then of the lane that waits longest for its turn."""
        lanes = [lane for lane in self._lanes if not (newcomers_only and self._served[lane])]
        if not lanes:
            return None
        lane = min(lanes, key=lambda each: self._served[each])
        who = self._lanes[lane].popleft()
        self._lanes.move_to_end(lane)
        self._forget_empty(lane)
        return lane, who

    def begin(self, lane: str) -> None:
        self._served[lane] += 1

    def end(self, lane: str) -> None:
        self._served[lane] -= 1
        if not self._served[lane]:
            del self._served[lane]

    def _forget_empty(self, lane: str) -> None:
        if not self._lanes[lane]:
            del self._lanes[lane]
