"""Start the shipper of a server's settings, detached: it may outlive the server, which never waits for it."""

from __future__ import annotations

import importlib.util
import json
import logging
import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

from ....config.secrets import revealed
from ....config.settings import Settings
from ...detached import has_ended, spawn
from ...logtail import shorten
from ..store.destination import Destination
from .backoff import Timing
from .outbox import failing, waits
from .shipper_lock import ShipperLock, fingerprint_of

MODULE = "mlops_mcp.tools.tracing.opik.shipper"
SETTINGS_VARIABLE = "MLOPS_SHIPPER_SETTINGS"
# A shipper that ends sooner than that has not found work: the next one is started later and later.
SHORT_LIFE_S = 30.0
LONGEST_WAIT_S = 300.0
# How a shipper with other settings is asked to end.
MAX_ASKED, ASK_EVERY_S, ASK_AGAIN_S = 3, 3.0, 60.0

logger = logging.getLogger(__name__)


@dataclass
class Asked:
    """How often a shipper with other settings was asked to end, and when last."""

    times: int = 0
    last: float = -math.inf

    def due(self, failing: Callable[[], bool]) -> bool:
        """Two processes with different keys do not take turns for ever, unless what ships does not get through."""
        since = time.monotonic() - self.last
        return since > (ASK_EVERY_S if self.times < MAX_ASKED else ASK_AGAIN_S) and (
            self.times < MAX_ASKED or failing()
        )


class Launcher:
    """Keeps a shipper to the configured destination running while one is needed."""

    def __init__(self, timing: Timing | None = None, environ: Mapping[str, str] | None = None) -> None:
        self._timing = timing or Timing()
        self._environ = environ
        # by process id: the destination that a shipper was started for
        self._children: dict[int, Destination] = {}
        self._asked: dict[str, Asked] = {}
        self._started = 0.0
        self._wait_s = 0.0
        self._warned = False

    def look(self, settings: Settings) -> None:
        """Start a shipper when something waits and nobody ships it with these settings; blocking for milliseconds.

        Raises:
            OSError, sqlite3.Error: the state folder cannot be used.
        """
        self._reap()
        store, destination = settings.trace_store, Destination.of(settings)
        if destination is None or not waits(store, destination):
            return
        lock = ShipperLock(store, destination)
        if lock.held:
            self._ask(lock, settings, destination)
        elif self._may_start(destination) and self._installed():
            self._children[start(settings, self._timing, self._environ)] = destination
            self._started = time.monotonic()

    def _may_start(self, destination: Destination) -> bool:
        return destination not in self._children.values() and time.monotonic() >= self._started + self._wait_s

    def _ask(self, lock: ShipperLock, settings: Settings, destination: Destination) -> None:
        """Ask a shipper with other settings to end; the next look starts another."""
        fingerprint = fingerprint_of(settings)
        asked = self._asked.setdefault(fingerprint, Asked())
        if lock.published() != fingerprint and asked.due(lambda: failing(settings.trace_store, destination)):
            lock.publish(fingerprint)
            asked.times, asked.last = asked.times + 1, time.monotonic()

    def _reap(self) -> None:
        for pid in [pid for pid in self._children if has_ended(pid)]:
            del self._children[pid]
            short = time.monotonic() - self._started < SHORT_LIFE_S
            self._wait_s = min(LONGEST_WAIT_S, max(1.0, self._wait_s * 2)) if short else 0.0

    def _installed(self) -> bool:
        if importlib.util.find_spec("opik") is not None:
            return True
        if not self._warned:
            logger.warning("traces wait to be shipped, but opik is missing: pip install 'mlops-mcp[observability]'")
        self._warned = True
        return False


def start(settings: Settings, timing: Timing, environ: Mapping[str, str] | None = None) -> int:
    """Start a shipper with these settings; its process id."""
    log = settings.home / "shipper.log"
    shorten(log)
    variables = os.environ if environ is None else environ
    environment = {**variables, SETTINGS_VARIABLE: json.dumps(revealed(settings))}
    return spawn(MODULE, json.dumps(asdict(timing)), environment=environment, log=log)
