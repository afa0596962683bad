"""What the values of a view look like."""

from __future__ import annotations

from numbers import Integral
from typing import TYPE_CHECKING, SupportsFloat

from ..numbers import exact, finite
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
    bounded = known[known.abs() != float("inf")]
    if bounded.empty:
        return result.model_copy(update={"infinite": len(known)})
    return result.model_copy(update=_numbers(bounded) | {"infinite": len(known) - len(bounded) or None})


def _numbers(known: pd.Series) -> dict[str, float | str | None]:
    low, middle, high = known.astype("float64").quantile([0.01, 0.5, 0.99])
    numbers = {
        "mean": known.mean(),
        "std": known.std() if len(known) > 1 else None,
        "p01": low,
        "median": middle,
        "p99": high,
    }
    return {name: finite(value) for name, value in numbers.items()} | {
        "min": _bound(known.min()),
        "max": _bound(known.max()),
    }


def _bound(value: SupportsFloat) -> float | str | None:
    """A whole number that a float would round is given as text."""
    return exact(int(value)) if isinstance(value, Integral) else finite(value)
