"""What the values of a view look like."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..numbers import finite
from .models import DType, FeatureStatistics

if TYPE_CHECKING:
    import pandas as pd

TOP_VALUES = 5


def describe(values: pd.Series, dtype: DType) -> FeatureStatistics:
    known = values.dropna()
    result = FeatureStatistics(
        name=str(values.name), dtype=dtype, missing=int(values.isna().sum()), unique=int(known.nunique())
    )
    if known.empty:
        return result
    if dtype in ("string", "bool"):
        counts = known.astype(str).value_counts().head(TOP_VALUES)
        return result.model_copy(update={"top": {str(value)[:80]: int(count) for value, count in counts.items()}})
    if dtype == "timestamp":
        return result.model_copy(update={"min": known.min().isoformat(), "max": known.max().isoformat()})
    bounded = known[~known.isin([float("inf"), float("-inf")])]
    if bounded.empty:
        return result.model_copy(update={"infinite": len(known)})
    return result.model_copy(update=_numbers(bounded) | {"infinite": len(known) - len(bounded) or None})


def _numbers(known: pd.Series) -> dict[str, float | None]:
    low, middle, high = known.quantile([0.01, 0.5, 0.99])
    numbers = {
        "mean": known.mean(),
        "std": known.std() if len(known) > 1 else None,
        "min": known.min(),
        "p01": low,
        "median": middle,
        "p99": high,
        "max": known.max(),
    }
    return {name: finite(value) for name, value in numbers.items()}
