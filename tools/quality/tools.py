"""Tools of the quality slice."""

from __future__ import annotations

from ..spec import Toolset

TOOLSET = Toolset(name="quality", description="", tools=())
