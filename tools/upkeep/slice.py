"""What the tree knows of the upkeep slice before it is imported."""

from __future__ import annotations

from ..slices import Slice

SLICE = Slice(
    floor=5,
    # Half of all deletions are MLflow's.
    workers="tracking",
)
