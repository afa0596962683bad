"""The slices, in the order in which an agent meets them along the lifecycle."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from .spec import Toolset

SLICES = (
    "data",
    "quality",
    "features",
    "tracking",
    "registry",
    "training",
    "tuning",
    "causal",
    "explain",
    "serving",
    "observability",
    "jobs",
)


def load(name: str) -> Toolset:
    """Import one slice, which no call has needed before."""
    toolset: Toolset = import_module(f"{__package__}.{name}.tools").TOOLSET
    return toolset


def load_all() -> Mapping[str, Toolset]:
    return {name: load(name) for name in SLICES}
