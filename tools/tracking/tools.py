"""Tools of the tracking slice."""

from __future__ import annotations

from ..spec import Toolset

TOOLSET = Toolset(name="tracking", description="", tools=())
