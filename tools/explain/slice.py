"""What the tree knows of the explain slice before it is imported."""

from __future__ import annotations

from ..slices import Slice

SLICE = Slice(
    floor=5,
    extra="explain",
    libraries=("shap", "matplotlib"),
    needs=("shap", "sklearn"),
    stands_on=("modeling",),
    preload=("shap", "matplotlib.pyplot"),
    handles=("explanation",),
    removes=("explanation",),
)
