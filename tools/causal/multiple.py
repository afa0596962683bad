"""Many tests at once: p values corrected by Holm, "A simple sequentially rejective multiple test procedure", 1979."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def corrected(p_values: Sequence[float | None]) -> list[float | None]:
    """As many as were given; None stays None and is no test."""
    from statsmodels.stats.multitest import multipletests

    known = [p for p in p_values if p is not None]
    tested: Any = multipletests(known, method="holm") if known else (None, [])
    adjusted = iter(tested[1])
    return [None if p is None else float(next(adjusted)) for p in p_values]
