"""How sure a score is, by the method that holds its level for this kind of score.

Shares of rows: Wilson (1927), by scipy.stats; means of shares of different rows: put together by MOVER (Zou & Donner
2008). AUC: DeLong, DeLong, Clarke-Pearson (1988) on the logit scale, with a t quantile by the degrees of freedom of
Welch and Satterthwaite, over clusters as Obuchowski (1997) sums the same components; where they show no spread, method
5 of Newcombe (2006), which needs none. Means of losses: `studentised`. All else: the bias-corrected and accelerated
bootstrap of Efron (1987) with the tails that Hesterberg (2015) widens for few rows. `benchmarks/intervals.py` measures
how often they hold the truth.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial, reduce
from typing import TYPE_CHECKING, Any

from ..data.areas import placements
from . import studentised
from .metrics import Metric, Scale

if TYPE_CHECKING:
    import numpy as np

    from .resampled import Weighted

Bounds = tuple[float, float]

LEVEL = 0.95
RESAMPLES = 2000
# The bootstrap has no tails to show below this many rows or clusters.
FEWEST_UNITS = 10
# With fewer rows of one of two classes the interval of a mean loss holds the truth in 92 % of samples, or less.
FEWEST_OF_A_CLASS = 2
# The share of resamples that may lack a class before the rest says too little.
UNDEFINED_SHARE = 0.1
# More rows than this are drawn in as many blocks, which are put together by chance and so have the same spread.
MOST_UNITS = 5000
# Of the resamples that are scored at a time, in numbers.
VALUES_AT_A_TIME = 4_000_000
SAME = "every resample has the same score, so its spread cannot be seen"


@dataclass(frozen=True)
class Interval:
    """`bounds` are None where the rows give none; `method` then is empty and `reason` says why."""

    bounds: Bounds | None
    method: str = ""
    reason: str = ""


def interval(
    metric: Metric,
    truth: np.ndarray,
    prediction: np.ndarray,
    clusters: np.ndarray | None = None,
    seed: int = 0,
    level: float = LEVEL,
) -> Interval:
    """The interval of a score, at a level of 95 % unless told.

    Args:
        clusters: the group of each row, as whole numbers from 0; rows of one group are not independent.
    """
    import numpy as np

    if metric.resampled is None:
        return _delong(truth, prediction, clusters, level)
    outcomes = metric.outcomes(truth, prediction) if metric.outcomes and clusters is None else None
    if outcomes is not None and metric.scale is not None:
        found = _wilson(outcomes, level)
        return Interval(_scaled(metric.scale, found.bounds), found.method, found.reason)
    random = np.random.default_rng(seed)
    units = _units(len(truth), clusters, random)
    if reason := _too_few(units, clusters):
        return _none(reason)
    if metric.losses is not None and metric.scale is not None and metric.outcomes is None:
        if reason := _lacks_a_class(metric, truth, prediction):
            return _none(reason)
        found = _of_losses(metric.losses(truth, prediction), units, clusters, random, level)
        return Interval(_scaled(metric.scale, found.bounds), found.method, found.reason)
    weighted = metric.resampled(truth, prediction, units)
    return _bca(weighted, metric.score(truth, prediction), units, clusters, random, level)


def mover(one: float, of_one: Bounds, other: float, of_other: Bounds, correlation: float = 0.0) -> Bounds:
    """The bounds of a difference from those of its parts (MOVER; Zou & Donner 2008, with their correlation)."""
    value = one - other

    def reach(own: float, against: float) -> float:
        return max(own**2 - 2 * correlation * own * against + against**2, 0.0) ** 0.5

    below = reach(one - of_one[0], of_other[1] - other)
    return value - below, value + reach(of_one[1] - one, other - of_other[0])


def _scaled(scale: Scale, bounds: tuple[float, float] | None) -> tuple[float, float] | None:
    return None if bounds is None else (scale(bounds[0]), scale(bounds[1]))


def _none(reason: str) -> Interval:
    return Interval(None, reason=reason)


def _wilson(shares: list[np.ndarray], level: float) -> Interval:
    """Of one share of rows, or of the mean of several whose rows are different."""
    from scipy.stats import binomtest

    if not all(len(each) for each in shares):
        return _none("no rows count for it")
    found = [binomtest(int(each.sum()), len(each)).proportion_ci(level, method="wilson") for each in shares]
    if len(shares) == 1:
        return Interval((float(found[0].low), float(found[0].high)), "Wilson")
    means = [float(each.mean()) for each in shares]
    low, high = reduce(_added, ((mean, (each.low, each.high)) for mean, each in zip(means, found, strict=True)))[1]
    return Interval((low / len(shares), high / len(shares)), "MOVER of Wilson")


def _added(one: tuple[float, Bounds], other: tuple[float, Bounds]) -> tuple[float, Bounds]:
    """A sum is the difference from what is as far below 0."""
    (first, of_first), (second, of_second) = one, other
    return first + second, mover(first, of_first, -second, (-of_second[1], -of_second[0]))


def _of_losses(
    losses: np.ndarray, units: np.ndarray, clusters: np.ndarray | None, random: np.random.Generator, level: float
) -> Interval:
    drawn = partial(_resampled, count=int(units.max()) + 1, random=random)
    found = studentised.bounds(losses.astype(float), units, drawn, level)
    if found is None:
        return _none(SAME)
    low = max(found[0], 0.0) if losses.min() >= 0 else found[0]
    return Interval((low, found[1]), "Hall bootstrap-t" + ("" if clusters is None else " by cluster"))


def _delong(truth: np.ndarray, prediction: np.ndarray, clusters: np.ndarray | None, level: float) -> Interval:
    """Of more than two classes the mean area of one against the rest, whose influences add up row by row."""
    import numpy as np
    from scipy.stats import t

    counts = np.bincount(truth, minlength=prediction.shape[1])
    if not counts.all():
        return _none("AUC needs every class among the rows")
    area, influence = influences(truth, prediction)
    variance, freedom = spread(influence, truth, clusters)
    if not variance > 0 or counts.min() < 2:
        sides = _sides(truth, prediction)
        return _newcombe([(part, _independent(rows, clusters)) for part, _, rows in sides], level)
    half = float(t.ppf((1 + level) / 2, freedom)) * variance**0.5 / (area * (1 - area))
    centre = np.log(area / (1 - area))
    low, high = (float(1 / (1 + np.exp(-bound))) for bound in (centre - half, centre + half))
    return Interval((low, high), "logit-DeLong" if clusters is None else "logit-DeLong by cluster")


def influences(truth: np.ndarray, prediction: np.ndarray) -> tuple[float, np.ndarray]:
    """The area, of more than two classes the mean of one against the rest, and how much each row moves it."""
    import numpy as np

    parts = _sides(truth, prediction)
    return float(np.mean([part[0] for part in parts])), np.mean([part[1] for part in parts], axis=0)


def _sides(truth: np.ndarray, prediction: np.ndarray) -> list[tuple[float, np.ndarray, np.ndarray]]:
    """Of each class that is held against the rest: the area, how much each row moves it, and which rows are of it."""
    classes = [1] if prediction.shape[1] == 2 else range(prediction.shape[1])
    of = [truth == position for position in classes]
    return [(*placements(rows, prediction[:, position]), rows) for position, rows in zip(classes, of, strict=True)]


def spread(influence: np.ndarray, classes: np.ndarray, clusters: np.ndarray | None) -> tuple[float, float]:
    """The variance of a sum of influences and its degrees of freedom."""
    import numpy as np

    if clusters is not None:
        sums = np.bincount(clusters, influence)
        count = len(sums)
        return float(sums @ sums) * count / max(count - 1, 1), float(max(count - 1, 1))
    counts = np.bincount(classes)
    free = np.maximum(counts - 1, 1)
    parts = np.bincount(classes, influence**2) * counts / free
    below = float((parts**2 / free).sum())
    return float(parts.sum()), float(parts.sum()) ** 2 / below if below > 0 else 1.0


def _independent(classes: np.ndarray, clusters: np.ndarray | None) -> np.ndarray:
    """How many rows, or clusters, each class has."""
    import numpy as np

    each = [np.flatnonzero(classes == position) for position in range(2)]
    return np.array([len(rows) if clusters is None else len(set(clusters[rows].tolist())) for rows in each])


def _newcombe(areas: list[tuple[float, np.ndarray]], level: float) -> Interval:
    """Of one area, with the rows of either side, or of the mean of several, whose bounds may all err at once."""
    import numpy as np

    found = np.array([_newcombe_of_one(area, counts, level) for area, counts in areas])
    low, high = found.mean(axis=0)
    return Interval((float(low), float(high)), "Newcombe")


def _newcombe_of_one(area: float, counts: np.ndarray, level: float) -> tuple[float, float]:
    """Where the variance of Hanley and McNeil (1982) at the bound itself puts the area at the edge."""
    from scipy.optimize import brentq
    from scipy.stats import norm

    z, mean, pairs = float(norm.ppf((1 + level) / 2)), float(counts.mean()), float(counts.prod())

    def beyond(bound: float) -> float:
        more = (mean - 1) * ((1 - bound) / (2 - bound) + bound / (1 + bound))
        return abs(area - bound) - z * (bound * (1 - bound) * (1 + more) / pairs) ** 0.5

    edge = 1e-9
    inner = min(max(area, edge), 1 - edge)
    low: Any = brentq(beyond, edge, inner) if beyond(edge) > 0 and area > edge else 0.0
    high: Any = brentq(beyond, inner, 1 - edge) if beyond(1 - edge) > 0 and area < 1 - edge else 1.0
    return float(low), float(high)


def _bca(
    weighted: Weighted,
    score: float,
    units: np.ndarray,
    clusters: np.ndarray | None,
    random: np.random.Generator,
    level: float,
) -> Interval:
    import numpy as np

    count = int(units.max()) + 1
    drawn = _resampled(weighted, count, random)
    known = drawn[np.isfinite(drawn)]
    if len(known) < (1 - UNDEFINED_SHARE) * len(drawn):
        return _none(f"{1 - len(known) / len(drawn):.0%} of the resamples have no such score")
    low, high = _accelerated(known, score, _left_out(weighted, count), count, level)
    if not low < high:
        return _none(SAME)
    return Interval((low, high), "BCa bootstrap" + ("" if clusters is None else " by cluster"))


def _lacks_a_class(metric: Metric, truth: np.ndarray, prediction: np.ndarray) -> str:
    """Of a class without rows to vary the losses say nothing, however sure those of the other one make the mean."""
    import numpy as np

    if metric.task != "classification" or prediction.shape[-1] != 2:
        return ""
    least = int(np.bincount(truth, minlength=2).min())
    return f"a class has {least} rows, at least {FEWEST_OF_A_CLASS} are needed" if least < FEWEST_OF_A_CLASS else ""


def _too_few(units: np.ndarray, clusters: np.ndarray | None) -> str:
    count = int(units.max(initial=-1)) + 1
    kind = "rows" if clusters is None else "groups of rows"
    return f"{count} {kind} are too few, at least {FEWEST_UNITS} are needed" if count < FEWEST_UNITS else ""


def _units(rows: int, clusters: np.ndarray | None, random: np.random.Generator) -> np.ndarray:
    """What is drawn as a whole: the cluster, the row, or the block that a row of many falls into."""
    import numpy as np

    if clusters is not None:
        return clusters
    return np.arange(rows) if rows <= MOST_UNITS else random.permutation(rows) % MOST_UNITS


def _resampled(weighted: Weighted, count: int, random: np.random.Generator) -> np.ndarray:
    """What a function of weights says of each resample of so many units."""
    import numpy as np

    scores = list[np.ndarray]()
    batch = max(1, VALUES_AT_A_TIME // count)
    for start in range(0, RESAMPLES, batch):
        size = min(batch, RESAMPLES - start)
        drawn = random.integers(0, count, (size, count)) + np.arange(size)[:, None] * count
        weights = np.bincount(drawn.ravel(), minlength=size * count).reshape(size, count)
        scores.append(weighted(weights.astype(float)))
    return np.concatenate(scores)


def _left_out(weighted: Weighted, count: int) -> np.ndarray:
    """The score without each unit in turn."""
    import numpy as np

    batch = max(1, VALUES_AT_A_TIME // count)
    starts = range(0, count, batch)
    numbers, some = np.arange(count), [np.arange(start, min(start + batch, count)) for start in starts]
    found = np.concatenate([weighted((numbers != each[:, None]).astype(float)) for each in some])
    return found[np.isfinite(found)]


def _accelerated(
    drawn: np.ndarray, score: float, left_out: np.ndarray, count: int, level: float
) -> tuple[float, float]:
    """The BCa bounds (Efron & Tibshirani 1993, equations 14.9 to 14.15), with Hesterberg's tails for few units."""
    import numpy as np
    from scipy.stats import norm, t

    near = 1e-12 * max(abs(score), 1e-300)
    below = ((drawn < score - near).mean() + (drawn <= score + near).mean()) / 2
    bias = norm.ppf(np.clip(below, 1 / len(drawn), 1 - 1 / len(drawn)))
    apart = left_out.mean() - left_out
    scale = float((apart**2).sum()) ** 1.5
    acceleration = float((apart**3).sum()) / (6 * scale) if scale > 0 else 0.0
    wider = (count / (count - 1)) ** 0.5
    tails = bias + wider * t.ppf([(1 - level) / 2, (1 + level) / 2], count - 1)
    low, high = np.quantile(drawn, norm.cdf(bias + tails / (1 - acceleration * tails)))
    return float(low), float(high)
