"""What the tree knows of the tracking slice before it is imported."""

from __future__ import annotations

from ..slices import Slice

SLICE = Slice(
    floor=4,
    extra="tracking",
    libraries=("mlflow", "skops"),
    needs=("mlflow",),
    preload=(
        "mlflow",
        "mlflow.store.tracking.sqlalchemy_store",
        "mlflow.store.tracking.sqlalchemy_workspace_store",
        "mlflow.store.model_registry.sqlalchemy_store",
        "mlflow.store.model_registry.sqlalchemy_workspace_store",
        "sqlalchemy.dialects.sqlite",
        "sqlalchemy.orm:configure_mappers",
        "mlflow.tracing.export.utils",
        "mlflow.tracing.processor.otel",
        "mlflow.tracing.processor.base_mlflow",
        "alembic.command",
        "alembic.config",
        "mlops_mcp.tools.tracking.backend:preloaded",
    ),
    handles=("run", "experiment"),
    removes=("run", "experiment"),
    opens=("client", "connection", "models", "backend", "locations", "checks", "parts", "noted", "ending", "patient"),
)
