"""Tools of the training slice."""

from __future__ import annotations

from ..spec import Toolset

TOOLSET = Toolset(name="training", description="", tools=())
