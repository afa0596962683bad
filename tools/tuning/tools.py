"""Tools of the tuning slice."""

from __future__ import annotations

from ..spec import Toolset

TOOLSET = Toolset(name="tuning", description="", tools=())
