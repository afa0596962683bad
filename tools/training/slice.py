"""What the tree knows of the training slice before it is imported."""

from __future__ import annotations

from ..slices import Slice

SLICE = Slice(
    floor=5,
    needs=("sklearn",),
    stands_on=("modeling",),
    handles=("local",),
    removes=("local",),
)
