"""The toolsets of the slices, imported when they are needed."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from .slices import SLICES
from .spec import Toolset


def load(name: str) -> Toolset:
    """Import one slice, which no call has needed before."""
    toolset: Toolset = import_module(f"{__package__}.{name}.tools").TOOLSET
    return toolset


def load_all() -> Mapping[str, Toolset]:
    return {name: load(name) for name in SLICES}
