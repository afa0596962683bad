"""Start the shipper from a server, detached: it may outlive the server, which never waits for it."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict

from ....config.settings import Settings
from ..store.process_locks import shipped
from .backoff import Timing
from .outbox import waits

MODULE = "mlops_mcp.tools.tracing.opik.shipper"
SETTINGS_VARIABLE = "MLOPS_SHIPPER_SETTINGS"
MAX_LOG_BYTES = 1_000_000
# A shipper that ends sooner than that has not found work: the next one is started later and later.
SHORT_LIFE_S = 30.0
LONGEST_WAIT_S = 300.0

logger = logging.getLogger(__name__)


class Launcher:
    """Keeps a shipper running while one is needed."""

    def __init__(self, timing: Timing | None = None, environ: Mapping[str, str] | None = None) -> None:
        self._timing = timing or Timing()
        self._environ = environ
        self._pid = 0
        self._started = 0.0
        self._wait_s = 0.0
        self._warned = False

    def look(self, settings: Settings) -> None:
        """Start a shipper when something waits and nobody ships; blocking, but for milliseconds.

        Raises:
            OSError, sqlite3.Error: the state folder cannot be used.
        """
        self._reap()
        if self._pid or not settings.opik.configured or time.monotonic() < self._started + self._wait_s:
            return
        store = settings.trace_store
        if waits(store) and not shipped(store) and self._installed():
            self._pid = start(settings, self._timing, self._environ)
            self._started = time.monotonic()

    def _reap(self) -> None:
        if not self._pid:
            return
        try:
            ended = os.waitpid(self._pid, os.WNOHANG) != (0, 0)
        except ChildProcessError:
            ended = True
        if ended:
            self._pid = 0
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
    """Start a shipper for a state folder; its process id."""
    log = settings.home / "shipper.log"
    trimmed = os.O_TRUNC if log.exists() and log.stat().st_size > MAX_LOG_BYTES else 0
    variables = os.environ if environ is None else environ
    # Not subprocess: its object would have to be waited for, and this process may end first.
    return os.posix_spawn(
        sys.executable,
        [sys.executable, "-P", "-m", MODULE, json.dumps(asdict(timing))],
        {**variables, SETTINGS_VARIABLE: revealed(settings)},
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND | trimmed, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )


def revealed(settings: Settings) -> str:
    """The settings with the key that the shipper needs: an environment is readable by its owner only."""
    tree = settings.model_dump(mode="json")
    tree["runtime"]["job_store"] = ""
    tree["opik"]["api_key"] = settings.opik.api_key.get_secret_value()
    return json.dumps(tree)
