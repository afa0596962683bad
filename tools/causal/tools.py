"""Tools of the causal slice."""

from __future__ import annotations

from ..spec import Toolset

TOOLSET = Toolset(name="causal", description="", tools=())
