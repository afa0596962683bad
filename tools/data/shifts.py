"""A number that is another one plus a constant, or times one: what a change of unit or of a sensor looks like."""

# The results of scipy's tests have fields that a checker does not see.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..numbers import rounded

if TYPE_CHECKING:
    import numpy as np

    from .pairs import Pair

FEWEST = 30
# Of the same shape if a test of it at this level sees no difference.
ALIKE = 0.05
SPREAD = (0.05, 0.25, 0.5, 0.75, 0.95)
# Factors between units that are in use, and their inverses.
UNITS = (10, 100, 1000, 1e6, 60, 3600, 24, 7, 12, 365.25, 2.54, 0.3048, 1.609344, 0.45359237)
NEAR, NEARLY = 0.06, 0.1
LOOKED_AT, STEPS = 5_000, 20
TEMPERATURES = ((1.8, 32.0), (1 / 1.8, -32 / 1.8), (1.0, 273.15), (1.0, -273.15))


def change(pair: Pair) -> str | None:
    """By what the reference has to be changed to have the distribution of the current; None for no simple change."""
    import numpy as np
    from scipy.stats import ks_2samp

    if any(np.isinf(side.values).any() for side in pair.sides):
        return None  # what is infinite drifted as well, and no factor or offset makes it
    one, two = (_some(side.values[np.isfinite(side.values)]) for side in pair.sides)
    if min(len(one), len(two)) < FEWEST or one.min() == one.max():
        return None
    for factor, offset in _candidates(one, two, pair.whole):
        moved = one * factor + offset
        if pair.whole and float(factor).is_integer() and float(offset).is_integer():
            moved = np.round(moved)
        if ks_2samp(moved, two, method="asymp").pvalue > ALIKE and _scale_fits(moved, two):
            return _said(factor, offset, "≈")
    return None


def _some(values: np.ndarray) -> np.ndarray:
    """As many values as suffice to see a shape, spread evenly."""
    return values[:: max(1, len(values) // LOOKED_AT)]


def exactly(one: np.ndarray, two: np.ndarray) -> str | None:
    """The change that turns each number of one into that of two, row by row; None if there is none, or no change."""
    import numpy as np

    if len(one) < 2 or np.array_equal(one, two):
        return None
    apart = two - one
    if np.allclose(apart, apart[0], rtol=1e-9, atol=1e-9 * float(abs(two).max())):
        return _said(1.0, float(np.median(apart)))
    known = one != 0
    if known.sum() > 1 and not two[~known].any():
        ratios = two[known] / one[known]
        if np.allclose(ratios, ratios[0], rtol=1e-9):
            return _said(float(np.median(ratios)), 0.0)
    return None


def _candidates(one: np.ndarray, two: np.ndarray, whole: bool) -> Iterator[tuple[float, float]]:
    """Factors and offsets, the plainest first: units, an offset, a factor."""
    import numpy as np

    first, second = np.quantile(one, SPREAD), np.quantile(two, SPREAD)
    factor = float((first * second).sum() / (first * first).sum()) if first.any() else 1.0
    for unit in UNITS:
        for exact in (float(unit), 1 / unit):
            if abs(factor / exact - 1) < NEAR:
                yield exact, 0.0
    if abs(factor + 1) < NEAR:
        yield -1.0, 0.0
    for scale, shift in TEMPERATURES:
        if abs(first * scale + shift - second).max() < NEARLY * (second[-1] - second[0] or 1.0):
            yield scale, shift
    yield 1.0, _offset(one, two, whole)
    if factor > 0:
        yield _precise(factor, abs(factor) / 100), 0.0


def _offset(one: np.ndarray, two: np.ndarray, whole: bool) -> float:
    """The one near the difference of the means that brings the distributions nearest."""
    import numpy as np

    middle = float(two.mean() - one.mean())
    error = (float(one.var()) / len(one) + float(two.var()) / len(two)) ** 0.5
    steps = np.linspace(middle - 3 * error, middle + 3 * error, 2 * STEPS + 1)
    tried = np.unique(np.round(steps) if whole else np.array([_precise(float(step), error) for step in steps]))
    ordered = np.sort(one), np.sort(two)
    apart = [_furthest(ordered[0] + step, ordered[1]) for step in tried]
    return float(tried[int(np.argmin(apart))])


def _furthest(one: np.ndarray, two: np.ndarray) -> float:
    """The statistic of Kolmogorov and Smirnov of two samples in order, alone: scipy's takes ten times as long."""
    import numpy as np

    every = np.concatenate([one, two])
    shares = [np.searchsorted(side, every, side="right") / len(side) for side in (one, two)]
    return float(np.abs(shares[0] - shares[1]).max())


def _scale_fits(moved: np.ndarray, two: np.ndarray) -> bool:
    """Whether the middle halves are as wide: few rows alone would make everything alike."""
    import numpy as np

    wide = [float(np.subtract(*np.quantile(values, (0.75, 0.25)))) for values in (moved, two)]
    return wide[1] == wide[0] or (wide[1] > 0 and 0.5 < wide[0] / wide[1] < 2)


def _precise(value: float, error: float) -> float:
    """With the digits that its error leaves it, and as a whole number where that is as near."""
    import math

    if error <= 0 or not math.isfinite(error) or not value:
        return value
    nearest = float(round(value))
    if nearest and abs(value - nearest) <= error:
        return nearest
    return round(value, max(0, 1 - math.floor(math.log10(error))))


def _said(factor: float, offset: float, sign: str = "=") -> str:
    by = (
        ""
        if factor == 1
        else f" / {1 / factor:.6g}"
        if 0 < factor < 1 and _is_unit(1 / factor)
        else f" x {rounded(factor):g}"
    )
    plus = "" if not offset else f" {'+' if offset > 0 else '-'} {abs(rounded(offset)):.6g}"
    return f"current {sign} reference{by}{plus}"


def _is_unit(factor: float) -> bool:
    return any(abs(factor / unit - 1) < 1e-9 for unit in UNITS)
