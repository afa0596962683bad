"""What the tree knows of the tuning slice before it is imported."""

from __future__ import annotations

from ..slices import Slice

SLICE = Slice(
    floor=5,
    extra="tuning",
    libraries=("optuna",),
    needs=("optuna", "sklearn"),
    stands_on=("modeling",),
    preload=("optuna", "optuna.storages"),
    handles=("study", "comparison"),
    removes=("study", "comparison"),
)
