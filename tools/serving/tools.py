"""Tools of the serving slice."""

from __future__ import annotations

from ..spec import Toolset

TOOLSET = Toolset(name="serving", description="", tools=())
