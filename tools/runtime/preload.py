"""What the fork server imports for each slice, so that the first call of a worker finds its libraries loaded.

Only what calls use: jobs are processes of their own. Only what can be forked after its import: no thread may be left.
An entry is a module, or `module:function` for an import that needs care. What is not installed is passed over.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

# How the server tells the fork server its process id and what to import: Python's own list must not fail.
VARIABLE = "MLOPS_CALL_PRELOAD"
PACKAGE = __name__.partition(".")[0]

TABLES = ("pyarrow.parquet", "pyarrow.compute", "pyarrow.csv", "pyarrow.json", "pyarrow.feather", "pandas")
MLFLOW = (
    "mlflow",
    "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.store.tracking.sqlalchemy_workspace_store",
    "mlflow.store.model_registry.sqlalchemy_store",
    "mlflow.store.model_registry.sqlalchemy_workspace_store",
    "mlflow.tracing.export.utils",
    "mlflow.tracing.processor.otel",
    "alembic.command",
)
MODELS = (*TABLES, *MLFLOW, "mlflow.sklearn", "sklearn.pipeline", "skops.io", "xgboost", "lightgbm")
FEAST = (
    f"{PACKAGE}.tools.features.registry:imported",
    "feast.repo_operations",
    "feast.infra.offline_stores.duckdb",
    "feast.infra.online_stores.sqlite",
)

LIBRARIES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "data": TABLES,
        "training": (),
        "causal": (),
        "serving": (),
        "observability": (),
        "quality": (*TABLES, "great_expectations"),
        "features": (*TABLES, "duckdb", "ibis", *FEAST),
        "tracking": MLFLOW,
        "registry": MODELS,
        "tuning": ("optuna", "optuna.storages"),
        "explain": (*MODELS, "shap", "matplotlib.pyplot"),
    }
)


def wanted(slices: Iterable[str]) -> list[str]:
    """The entries for these slices and their own client modules, each once, in the order of the slices."""
    entries = ((*LIBRARIES.get(name, ()), f"{PACKAGE}.tools.{name}.client") for name in slices)
    return list(dict.fromkeys(entry for each in entries for entry in each))
