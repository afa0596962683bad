"""Logs go to stderr: stdout carries the protocol."""

from __future__ import annotations

import logging
import sys


def configure(level: str) -> None:
    """Set the handler before `MCPServer` is built, which would otherwise import rich and log through it."""
    logging.basicConfig(
        level=level, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True
    )
