"""Many tests at once: p values corrected by Holm, "A simple sequentially rejective multiple test procedure", 1979."""

from __future__ import annotations

from collections.abc import Sequence

from ..modeling.paired import holm


def corrected(p_values: Sequence[float | None]) -> list[float | None]:
    """As many as were given; None stays None and is no test."""
    raised = holm({place: p for place, p in enumerate(p_values) if p is not None})
    return [raised.get(place) for place in range(len(p_values))]
