"""What the template process imports, so that calls and jobs that are forked from it find their libraries loaded."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib import import_module
from typing import Any

from ...slices import SLICES, modules_to_preload
from ..outcome import outcome_of

PACKAGE = __name__.partition(".")[0]
# How the server tells the template its process id and what to import: Python's own list must not fail.
VARIABLE = "MLOPS_PRELOAD"


def wanted(toolsets: Iterable[str]) -> list[str]:
    """What these toolsets use, each module once; toolsets from elsewhere declare nothing."""
    return list(dict.fromkeys(entry for name in toolsets if name in SLICES for entry in modules_to_preload(name)))


def preload(entry: str) -> None:
    """Import one entry; whatever a broken library raises must not end the process."""
    outcome = outcome_of(lambda: _load(entry))
    ours = entry.startswith(PACKAGE) and not entry.endswith(".client")  # a slice need not have one
    if outcome.crash and (ours or outcome.crash.type != ModuleNotFoundError.__name__):
        print(f"preloading {entry} failed: {outcome.crash.type}: {outcome.crash.message[:200]}", file=sys.stderr)


def _load(entry: str) -> None:
    name, _, function = entry.partition(":")
    module: Any = import_module(name)
    if function:
        getattr(module, function)()
