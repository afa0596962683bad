"""The interval of a mean of losses, of few and skewed rows, too.

Hall, "On the removal of skewness by transformation", JRSS B 54 (1992): the bootstrap quantiles of a cubic of the
t statistic, which is monotone and takes out its skewness, are turned back into bounds of the mean. Means over rows of
clusters are ratios of sums over clusters, whose residuals take the place of the rows. At 40 rows of which a tenth is
positive the plain bootstraps hold the mean log loss in 85 to 91 % of samples, and this one in 93 to 97 %.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

# A resample of equal losses has no t statistic.
LEAST_SPREAD = 1e-9


def bounds(
    losses: np.ndarray,
    units: np.ndarray,
    drawn: Callable[[Callable[[np.ndarray], np.ndarray]], np.ndarray],
    level: float,
) -> tuple[float, float] | None:
    """The interval of the mean loss; None if the losses do not differ.

    Args:
        losses: one for each row.
        units: the unit of each row, whole numbers from 0: what is drawn as a whole.
        drawn: gives a function of weights (samples, units) the weights of the resamples, and returns what it answers.
    """
    import numpy as np

    mean, sizes = float(losses.mean()), np.bincount(units).astype(float)
    left = np.bincount(units, losses - mean)
    count, scale = len(sizes), float(sizes.mean())
    spread = float((left**2).mean()) ** 0.5
    if spread <= LEAST_SPREAD * max(abs(mean), float(np.abs(losses).max(initial=0.0))):
        return None
    skew = float((left**3).mean()) / spread**3
    parts = np.column_stack([left ** (power - of) * sizes**of for power in (1, 2, 3) for of in range(power + 1)])

    def straightened(weights: np.ndarray) -> np.ndarray:
        l1, n1, l2, ln, n2, l3, l2n, ln2, n3 = (weights @ parts).T / count
        off = l1 / n1
        squares = np.maximum(l2 - 2 * off * ln + off**2 * n2, (LEAST_SPREAD * spread) ** 2)
        cubes = l3 - 3 * off * l2n + 3 * off**2 * ln2 - off**3 * n3
        own = cubes / squares**1.5
        ratio = off * n1 / squares**0.5
        return ratio + own * ratio**2 / 3 + own**2 * ratio**3 / 27 + own / (6 * count)

    low, high = np.quantile(drawn(straightened), [(1 - level) / 2, (1 + level) / 2])
    unit = spread / scale
    return mean - unit * _bent(float(high), skew, count), mean - unit * _bent(float(low), skew, count)


def _bent(value: float, skew: float, count: int) -> float:
    """The inverse of the cubic."""
    import numpy as np

    if abs(skew) < LEAST_SPREAD:
        return value
    return float(3 / skew * (np.cbrt(1 + skew * (value - skew / (6 * count))) - 1))
