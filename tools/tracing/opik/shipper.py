"""The process that ships traces to Opik: `python -m mlops_mcp.tools.tracing.opik.shipper`.

There is one for each destination of a state folder. It outlives the server that started it until the backlog is
shipped, or Opik has not taken anything for a while: what is left waits in the store for the next one. It ends when it
is asked to by a server with other settings.
"""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import sys
import time
from collections.abc import Callable

from ....config.backends import OpikSettings
from ....config.logs import configure
from ....config.settings import Settings
from ....config.watch import Watch
from ...locks import Busy
from ...storage.database import file_of
from ...storage.errors import storage_error
from ..redaction import Redactor
from ..store.destination import Destination
from ..store.opening import opened
from ..store.process_locks import written
from .backoff import Backoff, Timing
from .bodies import Labels
from .client import Later, OpikSender, Sender
from .delivery import Delivery, Limits
from .launcher import SETTINGS_VARIABLE
from .outbox import Outbox
from .shipper_lock import ShipperLock, fingerprint_of

CAREFUL_AFTER = 4

logger = logging.getLogger(__name__)


class Shipper:
    """Ships to one destination until there is no reason to go on."""

    def __init__(
        self,
        watch: Watch,
        connection: sqlite3.Connection,
        timing: Timing,
        destination: Destination,
        connect: Callable[[OpikSettings, float, float], Sender] = OpikSender,
    ) -> None:
        self._watch = watch
        self._settings = watch.current()
        self._store = self._settings.trace_store
        self._file = file_of(self._store)
        self._left = False
        self._destination = destination
        self._lock = ShipperLock(self._store, destination)
        self._outbox = Outbox(connection, timing.max_age_h * 3600, destination)
        self._timing = timing
        self._connect = connect
        self._opened: tuple[OpikSettings, Sender] | None = None
        self._backoff = Backoff(timing)
        self._busy = time.monotonic()
        self._lock.publish(fingerprint_of(self._settings))

    def run(self, wanted: Callable[[], bool]) -> None:
        """Ship for as long as it is wanted, Opik is configured, and no other process is to do it."""
        while self._follow() and wanted() and not self._replaced:
            self._pause(self.step(self._settings), wanted)

    def _follow(self) -> bool:
        """Take over what has changed in the settings; whether an Opik is still configured."""
        settings = self._watch.current()
        # To another destination another process ships; this one ends when it has shipped what is left.
        self._left = Destination.of(settings) != self._destination
        if settings != self._settings and not self._left:
            self._settings = settings
            self._lock.publish(fingerprint_of(settings))
        return settings.opik.configured

    @property
    def _replaced(self) -> bool:
        """Whether another process is to ship: with other settings, or from the file that lies there now."""
        if file_of(self._store) != self._file:
            return True
        return self._lock.published() != fingerprint_of(self._settings)

    def step(self, settings: Settings) -> float:
        """Ship what is due now; how long to wait before the next time."""
        try:
            if self._delivery(settings).round():
                self._busy = time.monotonic()
                self._backoff.reset()
                return 0.0
        except Later as later:
            return self._failed(later)
        except sqlite3.Error as error:  # a full disk, or a writer that takes long
            return self._failed(Later(str(storage_error("the trace store", self._store, error))))
        self._backoff.reset()
        return self._timing.poll_s

    @property
    def waiting(self) -> bool:
        return bool(self._outbox.waiting())

    def needed(self) -> bool:
        """Whether a process of its own should go on: for writers that live, or for what they have left."""
        if written(self._store) and not self._left:
            return time.monotonic() - self._busy < self._timing.idle_s or self.waiting
        return not self._backoff.exhausted and self.waiting

    def _failed(self, later: Later) -> float:
        wait = self._backoff.after(later)
        if self._backoff.failures == 1:
            logger.warning("traces are not shipped: %s", later)
        try:
            self._outbox.failed(str(later))
        except sqlite3.Error as error:
            logger.warning("%s", storage_error("the trace store", self._store, error))
        return wait

    def _delivery(self, settings: Settings) -> Delivery:
        limits = Limits(started_after_s=self._timing.started_after_s)
        sender = self._sender(settings.opik)
        careful = self._backoff.failures >= CAREFUL_AFTER
        return Delivery(self._outbox, sender, Labels.of(settings), settings.opik.sampling_rate, limits, careful)

    def _sender(self, opik: OpikSettings) -> Sender:
        if self._opened is None or self._opened[0] != opik:
            self._backoff.reset()
            self._opened = opik, self._connect(opik, self._timing.connect_s, self._timing.read_s)
        return self._opened[1]

    def _pause(self, seconds: float, wanted: Callable[[], bool]) -> None:
        """Wait, but not for longer than anything stays as it is."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not self._watch.changed() and not self._replaced and wanted():
            time.sleep(min(left, self._timing.poll_s))


def ship(settings: Settings, wanted: Callable[[Shipper], bool], watch: Watch, timing: Timing) -> None:
    """Be the shipper to the destination of the settings, which name one.

    Raises:
        Busy: there is another.
        OSError, sqlite3.Error: the store cannot be used.
    """
    store, destination = settings.trace_store, Destination.of(settings)
    if destination is None:
        return
    with ShipperLock(store, destination).taken(), opened(store) as connection:
        shipper = Shipper(watch, connection, timing, destination)
        shipper.run(lambda: wanted(shipper))


def main(timing: Timing) -> None:
    settings = Settings.model_validate_json(os.environ.pop(SETTINGS_VARIABLE))
    configure("WARNING", Redactor.of(settings))
    try:
        ship(settings, Shipper.needed, Watch(settings), timing)
    except Busy:
        return
    except (OSError, sqlite3.Error) as error:
        logger.warning("traces are not shipped: %s", storage_error("the trace store", settings.trace_store, error))


if __name__ == "__main__":
    main(Timing(**json.loads(sys.argv[1])) if len(sys.argv) > 1 else Timing())
