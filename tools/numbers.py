"""Numbers that are safe on the wire."""

from __future__ import annotations

import math
from typing import SupportsFloat

# Beyond it a float takes several whole numbers for one, and most clients read every number as a float.
EXACT_INTEGERS = 2**53


def finite(value: SupportsFloat | None) -> float | None:
    """A plain float, or None for what is missing or not finite: JSON knows neither NaN nor infinity."""
    if value is None:
        return None
    number = float(value)
    return number if math.isfinite(number) else None


def rounded(value: SupportsFloat) -> float:
    """Six significant digits, which is what a reader of a list needs."""
    return float(f"{float(value):.6g}")
