"""Tools of the registry slice."""

from __future__ import annotations

from ..spec import Toolset

TOOLSET = Toolset(name="registry", description="", tools=())
