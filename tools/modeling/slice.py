"""What the tree knows of the modeling slice before it is imported."""

from __future__ import annotations

from ..slices import Slice

SLICE = Slice(
    floor=4,
    extra="training",
    libraries=("sklearn", "xgboost", "lightgbm"),
    stands_on=("data", "tracking"),
    preload=(
        "mlflow.sklearn",
        "mlflow.pyfunc",
        # Which package each module belongs to: MLflow looks through all that is installed before it saves a model.
        "mlflow.utils.requirements_utils:_init_packages_to_modules_map",
        "sklearn.pipeline",
        "skops.io",
        "xgboost",
        "lightgbm",
        # sklearn and lightgbm see data frames through it
        "narwhals.stable.v2",
        "narwhals._pandas_like.dataframe",
        "narwhals._pandas_like.namespace",
        "narwhals._interchange.dataframe",
    ),
    opens=("*",),
)
