"""What the tree knows of the upkeep slice before it is imported."""

from __future__ import annotations

from ..slices import Slice

SLICE = Slice(
    floor=5,
    # With an endpoint its processes go.
    workers="serving",
    # ... and what is left of it is looked for among all processes, which one that is held does not see.
    reach="anything",
)
