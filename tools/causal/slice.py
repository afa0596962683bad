"""What the tree knows of the causal slice before it is imported."""

from __future__ import annotations

from ..slices import Slice

SLICE = Slice(
    floor=5,
    extra="causal",
    libraries=("econml",),
    needs=("econml", "sklearn"),
    stands_on=("modeling",),
)
