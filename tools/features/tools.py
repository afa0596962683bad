"""Tools of the features slice."""

from __future__ import annotations

from ..spec import Toolset

TOOLSET = Toolset(name="features", description="", tools=())
