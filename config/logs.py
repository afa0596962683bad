"""Logs go to stderr, cleaned of secrets: stdout carries the protocol."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
from collections.abc import Callable
from types import TracebackType

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"

logger = logging.getLogger(__name__)


class _Clean(logging.Formatter):
    """Takes secrets out of whole records, tracebacks included."""

    def __init__(self, clean: Callable[[str], str]) -> None:
        super().__init__(FORMAT)
        self._clean = clean

    def format(self, record: logging.LogRecord) -> str:
        return self._clean(super().format(record))


class _Handler(logging.StreamHandler):  # type: ignore[type-arg]  # the class takes no argument at run time
    """Writes to stderr; a record that cannot be written is named, but its arguments are not shown."""

    def handleError(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(OSError, ValueError):  # whoever read it is gone
            self.stream.write(f"a record of {record.name} cannot be written\n")


def configure(level: str, clean: Callable[[str], str]) -> None:
    """Log to stderr from a level on, through `clean`.

    The level is the handler's too, so that others may be told more without it being printed.
    It is called before `MCPServer` is built, which would otherwise import rich and log through it.
    """
    handler = _Handler(sys.stderr)
    handler.setLevel(level)
    handler.setFormatter(_Clean(clean))
    logging.basicConfig(level=level, handlers=[handler], force=True)


def log_crashes() -> None:
    """Log what ends this process or one of its threads, instead of printing it as it is."""
    sys.excepthook = _crashed
    threading.excepthook = lambda given: _crashed(given.exc_type, given.exc_value, given.exc_traceback)


def _crashed(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt | SystemExit):
        return
    logger.critical("%s", kind.__name__, exc_info=(kind, error, trace) if error else None)
