"""What the tree knows of the data slice before it is imported."""

from __future__ import annotations

from ..slices import Slice

SLICE = Slice(
    floor=4,
    preload=(
        "pyarrow.parquet",
        "pyarrow.dataset",
        "pyarrow.compute",
        "pyarrow.csv",
        "pyarrow.json",
        "pyarrow.feather",
        "pandas",
        "duckdb",
    ),
    handles=("dataset",),
    removes=("dataset",),
    opens=(
        "store",
        "models",
        "client",
        "readers",
        "identity",
        "split",
        "areas",
        "cells",
        "pairs",
        "pieces",
        "far",
        "words",
        "sandbox",
        "answers",
    ),
)
