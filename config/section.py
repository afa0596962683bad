"""What every section of the settings is."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Frozen, and without keys that nobody knows."""

    model_config = ConfigDict(extra="forbid", frozen=True)
