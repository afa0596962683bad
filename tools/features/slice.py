"""What the tree knows of the features slice before it is imported."""

from __future__ import annotations

from ..slices import Slice

SLICE = Slice(
    floor=5,
    extra="features",
    libraries=("feast", "ibis", "duckdb"),
    needs=("feast",),
    stands_on=("data",),
    preload=(
        "duckdb",
        "ibis",
        "mlops_mcp.tools.features.registry:imported",
        "feast.repo_operations",
        "feast.infra.offline_stores.duckdb",
        "feast.infra.online_stores.sqlite",
    ),
    handles=("features", "online"),
    removes=("features", "online"),
    opens=("client", "models"),
)
