"""Logs go to stderr: stdout carries the protocol."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class _Clean(logging.Formatter):
    """Takes secrets out of whole records, tracebacks included."""

    def __init__(self, clean: Callable[[str], str]) -> None:
        super().__init__(FORMAT)
        self._clean = clean

    def format(self, record: logging.LogRecord) -> str:
        return self._clean(super().format(record))


def configure(level: str, clean: Callable[[str], str] = str) -> None:
    """Set the handler before `MCPServer` is built, which would otherwise import rich and log through it."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Clean(clean))
    logging.basicConfig(level=level, handlers=[handler], force=True)
