"""What the tree knows of the modeling slice before it is imported."""

from __future__ import annotations

from ..slices import Slice

SLICE = Slice(
    floor=4,
    extra="training",
    libraries=("sklearn", "xgboost", "lightgbm"),
    stands_on=("data", "tracking"),
    preload=("mlflow.sklearn", "sklearn.pipeline", "skops.io", "xgboost", "lightgbm"),
    opens=("*",),
)
