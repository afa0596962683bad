"""How sure a score is: 95 % intervals by the method that holds its level for this kind of score.

Shares of rows: Wilson (1927), by scipy.stats. AUC: DeLong, DeLong, Clarke-Pearson (1988) on the logit scale, with a t
quantile by the degrees of freedom of Welch and Satterthwaite, over clusters as Obuchowski (1997) sums the same
components; where they show no spread, method 5 of Newcombe (2006), which needs none. All else: the bias-corrected and
accelerated bootstrap of Efron (1987) with the tails that Hesterberg (2015) widens for few rows.
`benchmarks/intervals.py` measures how often they hold the truth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .metrics import Metric

if TYPE_CHECKING:
    import numpy as np

    from .resampled import Resampled, Weighted

LEVEL = 0.95
RESAMPLES = 2000
# The bootstrap has no tails to show below this many rows or clusters.
FEWEST_UNITS = 10
# The share of resamples that may lack a class before the rest says too little.
UNDEFINED_SHARE = 0.1
# More rows than this are drawn in as many blocks, which are put together by chance and so have the same spread.
MOST_UNITS = 5000
# Of the resamples that are scored at a time, in numbers.
VALUES_AT_A_TIME = 4_000_000


@dataclass(frozen=True)
class Interval:
    """`bounds` are None where the rows give none; `method` then is empty and `reason` says why."""

    bounds: tuple[float, float] | None
    method: str = ""
    reason: str = ""


def interval(
    metric: Metric, truth: np.ndarray, prediction: np.ndarray, clusters: np.ndarray | None = None, seed: int = 0
) -> Interval:
    """The 95 % interval of a score.

    Args:
        clusters: the group of each row, as whole numbers from 0; rows of one group are not independent.
    """
    if metric.resampled is None:
        return _delong(truth, prediction, clusters)
    outcomes = metric.outcomes(truth, prediction) if metric.outcomes and clusters is None else None
    if outcomes is not None:
        return _wilson(outcomes)
    return _bca(metric, metric.resampled, truth, prediction, clusters, seed)


def _none(reason: str) -> Interval:
    return Interval(None, reason=reason)


def _wilson(outcomes: np.ndarray) -> Interval:
    from scipy.stats import binomtest

    if not len(outcomes):
        return _none("no rows count for it")
    found = binomtest(int(outcomes.sum()), len(outcomes)).proportion_ci(LEVEL, method="wilson")
    return Interval((float(found.low), float(found.high)), "Wilson")


def _delong(truth: np.ndarray, prediction: np.ndarray, clusters: np.ndarray | None) -> Interval:
    """Of more than two classes the mean area of one against the rest, whose influences add up row by row."""
    import numpy as np
    from scipy.stats import t

    counts = np.bincount(truth, minlength=prediction.shape[1])
    if not counts.all():
        return _none("AUC needs every class among the rows")
    area, influence = influences(truth, prediction)
    variance, freedom = spread(influence, truth, clusters)
    if not variance > 0 or counts.min() < 2:
        return _newcombe(area, _independent(truth, clusters)) if len(counts) == 2 else _none("AUC shows no spread here")
    half = float(t.ppf((1 + LEVEL) / 2, freedom)) * variance**0.5 / (area * (1 - area))
    centre = np.log(area / (1 - area))
    low, high = (float(1 / (1 + np.exp(-bound))) for bound in (centre - half, centre + half))
    return Interval((low, high), "logit-DeLong" if clusters is None else "logit-DeLong by cluster")


def influences(truth: np.ndarray, prediction: np.ndarray) -> tuple[float, np.ndarray]:
    """The area, of more than two classes the mean of one against the rest, and how much each row moves it."""
    import numpy as np

    classes = [1] if prediction.shape[1] == 2 else range(prediction.shape[1])
    parts = [_placements(truth == position, prediction[:, position]) for position in classes]
    return float(np.mean([part[0] for part in parts])), np.mean([part[1] for part in parts], axis=0)


def _placements(positive: np.ndarray, score: np.ndarray) -> tuple[float, np.ndarray]:
    """The area, and how much each row moves it: the share of the other class that it is on the right side of."""
    import numpy as np
    from scipy.stats import rankdata

    ranks, own = rankdata(score), np.empty(len(score))
    own[positive], own[~positive] = rankdata(score[positive]), rankdata(score[~positive])
    count, others = int(positive.sum()), int((~positive).sum())
    placed = (ranks - own) / np.where(positive, others, count)
    placed[~positive] = 1 - placed[~positive]
    area = float(placed[positive].mean())
    return area, (placed - area) / np.where(positive, count, others)


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


def _newcombe(area: float, counts: np.ndarray) -> Interval:
    """Where the variance of Hanley and McNeil (1982) at the bound itself puts the area at the edge."""
    from scipy.optimize import brentq
    from scipy.stats import norm

    z, mean, pairs = float(norm.ppf((1 + LEVEL) / 2)), float(counts.mean()), float(counts.prod())

    def beyond(bound: float) -> float:
        more = (mean - 1) * ((1 - bound) / (2 - bound) + bound / (1 + bound))
        return abs(area - bound) - z * (bound * (1 - bound) * (1 + more) / pairs) ** 0.5

    edge = 1e-9
    inner = min(max(area, edge), 1 - edge)
    low: Any = brentq(beyond, edge, inner) if beyond(edge) > 0 and area > edge else 0.0
    high: Any = brentq(beyond, inner, 1 - edge) if beyond(1 - edge) > 0 and area < 1 - edge else 1.0
    return Interval((float(low), float(high)), "Newcombe")


def _bca(
    metric: Metric,
    resampled: Resampled,
    truth: np.ndarray,
    prediction: np.ndarray,
    clusters: np.ndarray | None,
    seed: int,
) -> Interval:
    import numpy as np

    random = np.random.default_rng(seed)
    units = _units(len(truth), clusters, random)
    count = int(units.max(initial=-1)) + 1
    if count < FEWEST_UNITS:
        kind = "rows" if clusters is None else "groups of rows"
        return _none(f"{count} {kind} are too few, at least {FEWEST_UNITS} are needed")
    by_class = metric.by_class and count == len(truth) and clusters is None
    strata = truth.astype(int) if by_class else np.zeros(count, dtype=int)
    weighted = resampled(truth, prediction, units)
    drawn = _resampled(weighted, strata, random)
    known = drawn[np.isfinite(drawn)]
    if len(known) < (1 - UNDEFINED_SHARE) * len(drawn):
        return _none(f"{1 - len(known) / len(drawn):.0%} of the resamples have no such score")
    low, high = _accelerated(known, metric.score(truth, prediction), _left_out(weighted, count), count)
    if not low < high:
        return _none("every resample has the same score, so its spread cannot be seen")
    way = " by cluster" if clusters is not None else " stratified by class" if by_class else ""
    return Interval((low, high), f"BCa bootstrap{way}")


def _units(rows: int, clusters: np.ndarray | None, random: np.random.Generator) -> np.ndarray:
    """What is drawn as a whole: the cluster, the row, or the block that a row of many falls into."""
    import numpy as np

    if clusters is not None:
        return clusters
    return np.arange(rows) if rows <= MOST_UNITS else random.permutation(rows) % MOST_UNITS


def _resampled(weighted: Weighted, strata: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The score of each resample of the units, drawn within their strata."""
    import numpy as np

    members = [np.flatnonzero(strata == stratum) for stratum in np.unique(strata)]
    count, scores = len(strata), list[np.ndarray]()
    batch = max(1, VALUES_AT_A_TIME // count)
    for start in range(0, RESAMPLES, batch):
        size = min(batch, RESAMPLES - start)
        drawn = np.concatenate([each[random.integers(0, len(each), (size, len(each)))] for each in members], axis=1)
        drawn += np.arange(size)[:, None] * count
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


def _accelerated(drawn: np.ndarray, score: float, left_out: np.ndarray, count: int) -> tuple[float, float]:
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
    tails = bias + wider * t.ppf([(1 - LEVEL) / 2, (1 + LEVEL) / 2], count - 1)
    low, high = np.quantile(drawn, norm.cdf(bias + tails / (1 - acceleration * tails)))
    return float(low), float(high)
