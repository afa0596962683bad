"""What the tree knows of the quality slice before it is imported."""

from __future__ import annotations

from ..slices import Slice

SLICE = Slice(
    floor=5,
    extra="quality",
    libraries=("great_expectations",),
    needs=("great_expectations",),
    stands_on=("data",),
    preload=("great_expectations",),
    handles=("suite", "validation"),
    removes=("suite", "validation"),
    opens=("client",),
)
