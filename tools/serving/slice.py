"""What the tree knows of the serving slice before it is imported."""

from __future__ import annotations

from ..slices import Slice

SLICE = Slice(
    floor=5,
    extra="serving",
    libraries=("bentoml",),
    needs=("bentoml", "sklearn"),
    stands_on=("modeling",),
    handles=("bento", "endpoint"),
    removes=("bento", "endpoint"),
    # It starts processes, sees and ends them.
    reach="anything",
)
