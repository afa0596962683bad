"""One shipper for each destination of a store: its lock, and with which settings it is to ship."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from ....config.settings import Settings
from ...locks import is_locked, locked
from ...storage.state_files import open_private
from ..store.destination import Destination

# Whoever only asks holds the lock for a moment.
ATTEMPT_S = 0.5


class ShipperLock:
    """The lock of the shipper to one destination.

    The file holds a fingerprint of the settings to ship with. The shipper writes its own; when it finds another one, a
    process with other settings (another key, say) has asked it to end.
    """

    def __init__(self, store: Path, destination: Destination) -> None:
        self._path = store.with_name(f"traces.shipper.{destination.key}")

    @property
    def held(self) -> bool:
        """Whether a shipper runs."""
        return is_locked(self._path)

    @contextmanager
    def taken(self) -> Generator[None]:
        """Be the one shipper while the body runs.

        Raises:
            Busy: there is another.
        """
        os.close(open_private(self._path))
        with locked(self._path, ATTEMPT_S, "another process ships the traces"):
            yield

    def publish(self, fingerprint: str) -> None:
        """Say with which settings to ship; they all have the same length."""
        descriptor = open_private(self._path)
        try:
            os.pwrite(descriptor, fingerprint.encode(), 0)
        finally:
            os.close(descriptor)

    def published(self) -> str:
        """The fingerprint that is asked for; empty before the first."""
        try:
            return self._path.read_text(encoding="ascii")
        except FileNotFoundError:
            return ""


def fingerprint_of(settings: Settings) -> str:
    """What tells settings of shipping apart, the key included, from which nothing can be read."""
    key = settings.opik.api_key.get_secret_value()
    text = "\n".join((settings.opik.model_dump_json(), settings.environment, key))
    return hashlib.sha256(text.encode()).hexdigest()
