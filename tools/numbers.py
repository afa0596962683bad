"""Numbers that are safe on the wire."""

from __future__ import annotations

import math
from typing import SupportsFloat


def finite(value: SupportsFloat | None) -> float | None:
    """A plain float, or None for what is missing or not finite: JSON knows neither NaN nor infinity."""
    if value is None:
        return None
    number = float(value)
    return number if math.isfinite(number) else None


EXACT = 2**53


def exact(value: int | float | None) -> int | float | str | None:
    """A whole number beyond 2^53 as text: most readers of JSON know only doubles, and round it in silence."""
    return str(value) if isinstance(value, int) and abs(value) > EXACT else value


def rounded(value: SupportsFloat) -> float:
    """Six significant digits, which is what a reader of a list needs."""
    return float(f"{float(value):.6g}")
