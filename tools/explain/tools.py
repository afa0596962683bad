"""Tools of the explain slice."""

from __future__ import annotations

from ..spec import Toolset

TOOLSET = Toolset(name="explain", description="", tools=())
