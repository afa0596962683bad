"""Which endpoints of a state folder need somebody to look after them, and when it is tried again."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .. import marks
from .files import endpoint_files
from .places import Places

# From the first try on each takes twice as long to come; what lived longer than that begins anew.
FIRST_S, LONGEST_S, SETTLED_S = 1.0, 60.0, 60.0
STRAYS_EVERY_S = 5.0


@dataclass
class Tries:
    last: float
    wait_s: float


class BackOff:
    """When something that fails again and again may be tried once more."""

    def __init__(self) -> None:
        self._tries: dict[str, Tries] = {}

    def due(self, name: str, now: float) -> bool:
        known = self._tries.get(name)
        return known is None or now >= known.last + known.wait_s

    def tried(self, name: str, now: float) -> None:
        known = self._tries.get(name)
        fresh = known is None or now - known.last > known.wait_s + SETTLED_S
        wait_s = FIRST_S if known is None or fresh else min(LONGEST_S, known.wait_s * 2)
        self._tries[name] = Tries(now, wait_s)


class Watch:
    """Looks at the files and the processes of the endpoints; changes neither."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._strays_at = 0.0

    def in_need(self) -> set[str]:
        """Endpoints with a dead or an unfinished deployment, or with processes that no file knows. Of one whose file is
        damaged nothing is known, so it is left alone.
        """
        known: dict[str, set[str]] = {}
        damaged: set[str] = set()
        needy: set[str] = set()
        for name, deployments in endpoint_files(self._places.endpoints):
            if deployments is None:
                damaged.add(name)
                continue
            known[name] = {each["id"] for each in deployments}
            if not all(_finished(each) and self._lives(name, each) for each in deployments):
                needy.add(name)
        if time.monotonic() >= self._strays_at:
            self._strays_at = time.monotonic() + STRAYS_EVERY_S
            needy |= {name for name, identity in marks.found(self._places.home) if identity not in known.get(name, ())}
        return needy - damaged

    def _lives(self, name: str, deployment: Mapping[str, Any]) -> bool:
        return marks.lives(deployment["pid"], name, deployment["id"], self._places.home)


def _finished(deployment: Mapping[str, Any]) -> bool:
    return bool(deployment["ready"] and not deployment.get("trial"))
