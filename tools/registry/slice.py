"""What the tree knows of the registry slice before it is imported."""

from __future__ import annotations

from ..slices import Slice

SLICE = Slice(
    floor=6,
    needs=("mlflow",),
    stands_on=("modeling",),
    handles=("model",),
    removes=("model",),
    workers="tracking",
)
