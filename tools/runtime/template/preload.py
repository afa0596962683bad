"""What the template process imports, so that calls and jobs that are forked from it find their libraries loaded."""

from __future__ import annotations

from collections.abc import Iterable

from ...slices import SLICES, modules_to_preload

# How the server tells the template its process id and what to import: Python's own list must not fail.
VARIABLE = "MLOPS_PRELOAD"


def wanted(toolsets: Iterable[str]) -> list[str]:
    """What these toolsets use, each module once; toolsets from elsewhere declare nothing."""
    return list(dict.fromkeys(entry for name in toolsets if name in SLICES for entry in modules_to_preload(name)))
