"""How much better one model is than another, over the same folds or on the same rows.

Over folds: the corrected resampled t of Nadeau & Bengio (2003, Machine Learning 52), since the rows that models are
fitted on overlap; over repeated folds as Bouckaert & Frank (2004) use it. On rows: areas as DeLong, DeLong &
Clarke-Pearson (1988) compare correlated ones, over clusters as Obuchowski (1997); accuracies by method 10 of Newcombe
(1998, Statistics in Medicine 17), which holds with few rows that differ; means of losses by those of their differences;
every other score by the BCa bootstrap of the difference, which draws the same rows for both. Against one answer for all
rows whose score is the same on any, the interval is that of the score. Of many differences: Holm (1979).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from .intervals import FEWEST_UNITS, LEVEL, Bounds, Interval, influences, interval, mover, spread
from .metrics import Metric, as_it_is

if TYPE_CHECKING:
    import numpy as np

    from .resampled import Weighted

K = TypeVar("K")
OVER_FOLDS = "corrected resampled t"
# What a difference may be of rounding alone, as a share of the scores.
ROUNDING = 1e-12


@dataclass(frozen=True)
class Difference:
    """A mean or a difference; `p` is the two-sided one of no difference, None where the data give none.

    `bounds` are None with a `reason`.
    """

    value: float
    bounds: tuple[float, float] | None
    p: float | None
    method: str = ""
    reason: str = ""


def over_folds(values: Sequence[float], sizes: Sequence[tuple[int, int]], around: float = 0.0) -> Difference:
    """The mean over folds, how sure it is, and whether it is `around`.

    Args:
        values: one for each fold, e.g. the differences of two scores.
        sizes: the rows fitted on and scored on of each fold.
    """
    import numpy as np
    from scipy.stats import t

    count, mean = len(values), float(np.mean(values))
    if count < 2:
        return Difference(mean, None, None, reason="one fold has no spread")
    deviation, least = float(np.std(values, ddof=1)), ROUNDING * max(abs(mean), abs(around))
    if deviation <= least and abs(mean - around) <= least:
        return Difference(mean, None, None, reason="every fold says the same")
    if deviation <= least:
        # Without any spread, e.g. of a perfect order, what one row weighs stands for it.
        deviation = 1 / min(held for _, held in sizes)
    ratio = sum(held for _, held in sizes) / sum(fitted for fitted, _ in sizes)
    error = deviation * (1 / count + ratio) ** 0.5
    half = float(t.ppf((1 + LEVEL) / 2, count - 1)) * error
    p = 2 * float(t.sf(abs(mean - around) / error, count - 1))
    return Difference(mean, (mean - half, mean + half), p, f"{100 * LEVEL:.4g} % {OVER_FOLDS}, {count} folds")


def on_rows(
    metric: Metric,
    truth: np.ndarray,
    one: np.ndarray,
    other: np.ndarray,
    clusters: np.ndarray | None = None,
    seed: int = 0,
) -> Difference:
    """The score of one less that of the other on the same rows.

    Args:
        clusters: the group of each row, as whole numbers from 0; rows of one group are not independent.

    Raises:
        Undefined: these rows have no such score.
    """
    value = metric.score(truth, one) - metric.score(truth, other)
    if metric.settled and not _constant(one) and _constant(other):
        fixed, found = metric.score(truth, other), interval(metric, truth, one, clusters, seed)
        return _told(value, found, None if found.bounds is None else (found.bounds[0] - fixed, found.bounds[1] - fixed))
    if metric.resampled is None:
        return _areas(metric, truth, one, other, clusters)
    if (one == other).all():
        return Difference(value, None, None, reason="both answer the same on every row")
    if metric.losses is not None and metric.outcomes is not None and clusters is None:
        return _accuracies(value, metric.losses(truth, one), metric.losses(truth, other))
    found = interval(_difference_of(metric), truth, _both(one, other), clusters, seed)
    return _told(value, replace(found, method=f"paired {found.method}"), found.bounds)


def _told(value: float, found: Interval, bounds: Bounds | None) -> Difference:
    if bounds is None:
        return Difference(value, None, None, reason=found.reason)
    return Difference(value, bounds, _p_of(value, bounds), f"{100 * LEVEL:.4g} % {found.method}")


def _constant(prediction: np.ndarray) -> bool:
    import numpy as np

    return bool(np.ptp(prediction, axis=0).max(initial=0.0) == 0)


def _accuracies(value: float, one: np.ndarray, other: np.ndarray) -> Difference:
    """Args: which rows each has wrong."""
    from scipy.stats import binomtest

    rows = len(one)
    if rows < FEWEST_UNITS:
        return Difference(value, None, None, reason=f"{rows} rows are too few, at least {FEWEST_UNITS} are needed")
    both, neither = int((one & other).sum()), int((~one & ~other).sum())
    first, second = int((one & ~other).sum()), int((other & ~one).sum())
    apart = both * neither - first * second
    scale = ((both + first) * (neither + second) * (both + second) * (neither + first)) ** 0.5
    correlation = (max(apart - rows / 2, 0.0) if apart > 0 else float(apart)) / scale if scale else 0.0
    shares = [float((~each).mean()) for each in (one, other)]
    found = [binomtest(int((~each).sum()), rows).proportion_ci(LEVEL, method="wilson") for each in (one, other)]
    of_one, of_other = ((float(each.low), float(each.high)) for each in found)
    bounds = mover(shares[0], of_one, shares[1], of_other, correlation)
    return _told(value, Interval(bounds, "paired Newcombe"), bounds)


def _areas(
    metric: Metric, truth: np.ndarray, one: np.ndarray, other: np.ndarray, clusters: np.ndarray | None
) -> Difference:
    import numpy as np
    from scipy.stats import t

    (first, of_first), (second, of_second) = influences(truth, one), influences(truth, other)
    value = first - second
    variance, freedom = spread(of_first - of_second, truth, clusters)
    if not variance > ROUNDING**2 and abs(value) <= ROUNDING:
        return Difference(value, None, None, reason="both put the rows in the same order")
    if np.bincount(truth).min() < 2:
        return Difference(value, None, None, reason="a class has one row")
    if not variance > ROUNDING**2:
        return _apart(metric, truth, one, other, clusters)
    error, way = variance**0.5, "" if clusters is None else " by cluster"
    half = float(t.ppf((1 + LEVEL) / 2, freedom)) * error
    bounds = (max(value - half, -1.0), min(value + half, 1.0))
    return Difference(
        value, bounds, 2 * float(t.sf(abs(value) / error, freedom)), f"{100 * LEVEL:.4g} % paired DeLong{way}"
    )


def _apart(
    metric: Metric, truth: np.ndarray, one: np.ndarray, other: np.ndarray, clusters: np.ndarray | None
) -> Difference:
    """The bounds of a difference from those of each score as if they were independent.

    Two orders without any spread, such as a perfect and a constant one, show none of their difference either; for two
    models of the same rows these bounds are too wide.
    """
    area, against = metric.score(truth, one), metric.score(truth, other)
    first, second = (interval(metric, truth, each, clusters).bounds for each in (one, other))
    if first is None or second is None:
        return Difference(area - against, None, None, reason="the scores show no spread")
    low, high = mover(area, first, against, second)
    bounds = max(low, -1.0), min(high, 1.0)
    return _told(area - against, Interval(bounds, "MOVER"), bounds)


def _both(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Two predictions as one array of shape (rows, 2, …)."""
    import numpy as np

    return np.stack([one, other], axis=1)


def _difference_of(metric: Metric) -> Metric:
    """The metric whose prediction is two predictions, and whose score is the difference of theirs."""
    many = metric.resampled
    assert many is not None

    def resampled(truth: np.ndarray, prediction: np.ndarray, units: np.ndarray) -> Weighted:
        one, other = many(truth, prediction[:, 0], units), many(truth, prediction[:, 1], units)
        return lambda weights: one(weights) - other(weights)

    def score(truth: np.ndarray, prediction: np.ndarray) -> float:
        return metric.score(truth, prediction[:, 0]) - metric.score(truth, prediction[:, 1])

    losses = metric.losses
    if losses is None or metric.scale is not as_it_is or metric.outcomes is not None:
        return replace(metric, score=score, resampled=resampled, outcomes=None, losses=None)
    return replace(
        metric, score=score, resampled=resampled,
        losses=lambda truth, prediction: losses(truth, prediction[:, 0]) - losses(truth, prediction[:, 1]),
    )  # fmt: skip


def _p_of(value: float, bounds: tuple[float, float]) -> float:
    """From an interval: how far nothing lies from the value, in distances to the bound on its side.

    Altman & Bland (2011), BMJ 343:d2304. It is below 1 - LEVEL exactly where the interval leaves nothing out.
    """
    from scipy.stats import norm

    near = value - bounds[0] if value > 0 else bounds[1] - value
    if near <= 0:
        return 1.0
    return 2 * float(norm.sf(float(norm.ppf((1 + LEVEL) / 2)) * abs(value) / near))


def holm(found: Mapping[K, float]) -> dict[K, float]:
    """The p values of many questions, each raised so that all of them together hold the level (Holm 1979)."""
    raised, least = dict[K, float](), 0.0
    for place, (key, p) in enumerate(sorted(found.items(), key=lambda entry: entry[1])):
        least = max(least, min(1.0, p * (len(found) - place)))
        raised[key] = least
    return raised


def shown(p: float | None, gain: float) -> int:
    """1 where a gain is beyond doubt, -1 where a loss is, else 0."""
    if p is None or p >= 1 - LEVEL - ROUNDING:
        return 0
    return 1 if gain > 0 else -1
