"""What the tree knows of the jobs slice before it is imported."""

from __future__ import annotations

from ..slices import Slice

SLICE = Slice(
    floor=4,
    handles=("job",),
    removes=("job",),
)
