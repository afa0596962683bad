"""How long a caller is kept waiting: as long as it is known to bear, by its name and by what was seen of it."""

from __future__ import annotations

import math
import re
import time
from collections import OrderedDict
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from fnmatch import translate

# What a caller bears of the time after which it was seen to give up; what an answer may take beyond that, and how
# near it may come to that time at all.
BORNE = 0.7
SLACK = 1.2
NEAREST = 0.95
# No client gives up by a clock so soon: somebody has stopped the call, or has made it twice on purpose.
BY_HAND_S = 4.0
MAX_CALLERS = 1000


@dataclass(frozen=True)
class Caller:
    """Who calls: a digest of it that is another one for each, and the name of its client.

    `peer` is the digest of its client at its address, which is the same over all of its sessions.
    """

    scope: str = ""
    client: str = ""
    peer: str = ""


@dataclass(frozen=True)
class WaitLimit:
    """How long one call may wait, by the clock of `time.monotonic`.

    Args:
        bears_s: as long as its caller is known to bear.
        given_up_s: after so long the caller gave up an earlier call; infinite if it never did.
        most_s: what it may ask for.
    """

    bears_s: float = math.inf
    given_up_s: float = math.inf
    most_s: float = math.inf
    begun: float = field(default_factory=lambda: time.monotonic())

    @property
    def passed_s(self) -> float:
        return time.monotonic() - self.begun

    @property
    def in_time(self) -> bool:
        """Whether an answer that is given now surely arrives."""
        return self.passed_s <= self.bears_s

    @property
    def latest_s(self) -> float:
        return min(self.bears_s * SLACK, self.given_up_s * NEAREST)

    def wait_s(self, asked: float | None) -> float:
        """How long to wait from now on."""
        return max(0.0, (self.bears_s if asked is None else min(asked, self.most_s)) - self.passed_s)

    def cut(self, asked: float | None) -> str:
        """What the caller is told when it asked for more than it bears; empty if it did not."""
        if asked is None or asked <= self.most_s:
            return ""
        return f"waited {self.most_s:.1f} s at most, since this client gave up a call after {self.given_up_s:.1f} s"


@dataclass
class Seen:
    """What was seen of one caller: it took an answer after `borne_s`, and gave up a call after `given_up_s`."""

    borne_s: float = 0.0
    given_up_s: float = math.inf

    @property
    def most_s(self) -> float:
        return max(BORNE * self.given_up_s, self.borne_s)


class WaitPolicy:
    """What each caller bears.

    Args:
        default_s: what a client bears that nothing is known of.
        clients: seconds by the name of the client, in any case and with * for any characters; the longest that fits.
    """

    def __init__(self, default_s: float, clients: Mapping[str, float]) -> None:
        self._default_s = default_s
        longest_first = sorted(clients, key=len, reverse=True)
        self._clients = [(re.compile(translate(name.casefold())), clients[name]) for name in longest_first]
        self._seen: OrderedDict[str, Seen] = OrderedDict()

    def __len__(self) -> int:
        """Of how many callers something was seen."""
        return len(self._seen)

    def limit(self, caller: Caller) -> WaitLimit:
        """What holds for a call that begins now."""
        seen = self._seen.get(caller.peer or caller.scope) or Seen()
        return WaitLimit(min(self._known_s(caller.client), seen.most_s), seen.given_up_s, seen.most_s)

    def answered(self, caller: Caller, seconds: float) -> None:
        """An answer was taken after so long."""
        if seconds < BY_HAND_S:
            return
        seen = self._of(caller)
        seen.borne_s = max(seen.borne_s, seconds)
        if seen.borne_s >= seen.given_up_s:
            seen.given_up_s = math.inf

    def gave_up(self, caller: Caller, seconds: float) -> None:
        """The caller waits no more for a call of so long. One that has borne more was stopped by somebody."""
        if seconds < BY_HAND_S:
            return
        seen = self._of(caller)
        if seconds > seen.borne_s:
            seen.given_up_s = min(seen.given_up_s, seconds)

    def _known_s(self, client: str) -> float:
        name = client.casefold()
        return next((seconds for pattern, seconds in self._clients if pattern.match(name)), self._default_s)

    def _of(self, caller: Caller) -> Seen:
        name = caller.peer or caller.scope
        seen = self._seen.setdefault(name, Seen())
        self._seen.move_to_end(name)
        if len(self._seen) > MAX_CALLERS:
            self._seen.popitem(last=False)
        return seen


_bearing: ContextVar[WaitLimit | None] = ContextVar("mlops_mcp_bearing", default=None)


@contextmanager
def bearing(limit: WaitLimit) -> Generator[None]:
    """Let what the body runs wait for what has gone away, as long as its caller bears it."""
    token = _bearing.set(limit)
    try:
        yield
    finally:
        _bearing.reset(token)


def borne_s() -> float:
    """How long the caller of the running code bears to wait from now on; 0 if there is none that is known."""
    limit = _bearing.get()
    return limit.wait_s(None) if limit else 0.0
