"""Many tests at once: p values corrected by Holm, "A simple sequentially rejective multiple test procedure", 1979."""

from __future__ import annotations

from collections.abc import Sequence


def corrected(p_values: Sequence[float | None]) -> list[float | None]:
    """As many as were given; None stays None and is no test."""
    from statsmodels.stats.multitest import multipletests

    known = [p for p in p_values if p is not None]
    adjusted = iter(multipletests(known, method="holm")[1].tolist() if known else [])
    return [None if p is None else next(adjusted) for p in p_values]
