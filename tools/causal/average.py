"""The average effect of each arm, doubly robust: right if either the outcome or the chances of treatment are.

Augmented inverse-probability weighting (Robins, Rotnitzky, Zhao, 1994) with cross-fitted first stages (Chernozhukov et
al., "Double/debiased machine learning", 2018); the effect on the treated as in Farrell, "Robust inference on average
treatment effects with possibly more covariates than observations", 2015. Two standard errors come
of it (Imbens, "Nonparametric estimation of average treatment effects under exogeneity", 2004): of the average over
these very rows, and of that over the population that they were drawn from. Chances are bounded as in Gruber et al.,
"Data-adaptive selection of the propensity score truncation level", 2022. econml's DRLearner has neither the effect on
the treated nor the first of the two errors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..modeling.folds import numbered
from .models import Target

if TYPE_CHECKING:
    import numpy as np

LEVEL = 0.95


@dataclass(frozen=True)
class Sample:
    """What effects are computed from.

    `arms` are positions, 0 is untreated; `outcomes` and `chances` have the shape (rows, arms): the predicted mean
    outcome and the chance of each arm. Rows of the same number in `groups` are not independent.
    """

    outcome: np.ndarray
    arms: np.ndarray
    outcomes: np.ndarray
    chances: np.ndarray
    groups: np.ndarray | None = None

    def take(self, rows: np.ndarray) -> Sample:
        """Args: `rows` is a mask or positions."""
        groups = None if self.groups is None else numbered(self.groups[rows])
        return Sample(self.outcome[rows], self.arms[rows], self.outcomes[rows], self.chances[rows], groups)


@dataclass(frozen=True)
class Contrast:
    """The effect of an arm against the untreated, and two standard errors with their degrees of freedom.

    `effective` is how many rows of the arm, and of the untreated, the weights amount to; `weights` are those of each
    row, of a mean of 1 in either. `means` are those that all would have in the arm and untreated, `base_error` the
    standard error of the latter, `ratio_error` that of the logarithm of their ratio. `scores` hold what each row adds
    to the effect, `shares` how much it counts: the effect is the mean of the former where that of the latter is 1.
    """

    effect: float
    error: float
    population_error: float
    freedom: float
    effective: tuple[float, float]
    weights: np.ndarray
    means: tuple[float, float]
    base_error: float
    ratio_error: float | None
    scores: np.ndarray
    shares: np.ndarray

    def interval(self) -> tuple[float, float]:
        return around(self.effect, self.error, self.freedom)

    def population_interval(self) -> tuple[float, float]:
        return around(self.effect, self.population_error, self.freedom)


def around(value: float, error: float, freedom: float = math.inf) -> tuple[float, float]:
    """The 95 % interval of a value with this standard error, by Student's t."""
    from scipy.stats import t

    reach = float(t.ppf(0.5 + LEVEL / 2, freedom)) * error
    return value - reach, value + reach


def least_chance(rows: int) -> float:
    """Chances below are taken for this one: 5 / (sqrt(n) ln n), at most 0.05."""
    return min(0.05, 5 / (math.sqrt(rows) * math.log(rows)))


def contrast(sample: Sample, arm: int, target: Target) -> Contrast:
    """The average effect of an arm over all rows, or over the rows of that arm."""
    share, above, below = _weighting(sample, arm, target)
    of_arm = above * (sample.outcome - sample.outcomes[:, arm])
    of_none = below * (sample.outcome - sample.outcomes[:, 0])
    predicted, missed = sample.outcomes[:, arm] - sample.outcomes[:, 0], (float(of_arm.mean()), float(of_none.mean()))
    scores = share * predicted + of_arm - of_none
    effect, base = float(scores.mean()), float((share * sample.outcomes[:, 0] + of_none).mean())
    # The weights were divided by their mean, so what an arm misses on average is no part of how much it varies.
    sides = of_arm - above * missed[0], of_none - below * missed[1]
    varies = share * (predicted + missed[0] - missed[1] - effect)

    def error(influence: np.ndarray) -> tuple[float, float]:
        return mean_error(influence, sample.arms, sample.groups)

    of_rows, freedom = error(sides[0] - sides[1])
    of_population = max(of_rows, error(varies + sides[0] - sides[1])[0])
    ratio = error(sides[0] / (base + effect) - sides[1] / base)[0] if min(base, base + effect) > 0 else None
    return Contrast(
        effect, of_rows, of_population, freedom, (_effective(above), _effective(below)), above + below,
        (base + effect, base), error(sides[1])[0], ratio, scores, share,
    )  # fmt: skip


def _weighting(sample: Sample, arm: int, target: Target) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How much each row counts, and the weights of the rows of the arm and of the untreated."""
    import numpy as np

    treated, untreated = sample.arms == arm, sample.arms == 0
    chances = np.maximum(sample.chances, least_chance(len(treated)))
    if target == "all":
        above, below = _weights(treated, 1 / chances[:, arm]), _weights(untreated, 1 / chances[:, 0])
        return np.ones(len(treated)), above, below
    share = treated / treated.mean()
    return share, share, _weights(untreated, chances[:, arm] / chances[:, 0])


def _weights(rows: np.ndarray, raw: np.ndarray) -> np.ndarray:
    """The weights of these rows, with a mean of 1 over all (Hájek)."""
    made = rows * raw
    return made / made.mean()


def _effective(weights: np.ndarray) -> float:
    """Kish, "Survey sampling", 1965."""
    return float(weights.sum() ** 2 / (weights**2).sum())


def mean_error(influence: np.ndarray, arms: np.ndarray, groups: np.ndarray | None) -> tuple[float, float]:
    """The standard error of a mean, and its degrees of freedom.

    Where rows are not independent it is that of the sums of groups. Of units (rows or groups) that are each in one arm
    the degrees are those of Welch, 1947, with as many units as an arm has; of groups with several arms they are one
    less than there are (Cameron, Miller, "A practitioner's guide to cluster-robust inference", 2015).
    """
    import numpy as np

    sums, kinds = influence, arms
    if groups is not None:
        sums, kinds = np.bincount(groups, influence), kinds_of_groups(arms, groups)
    squares, units = np.bincount(kinds, sums**2), np.bincount(kinds)
    squares, units = squares[units > 0], units[units > 0]
    parts = squares * units / np.maximum(units - 1, 1)
    total = float(parts.sum())
    freedom = total**2 / float((parts**2 / np.maximum(units - 1, 1)).sum()) if total else math.inf
    return math.sqrt(total) / len(influence), freedom


def kinds_of_groups(arms: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """The arm of each group, or 0 for all if one has several."""
    import numpy as np

    least, most = np.full(groups.max() + 1, arms.max() + 1), np.zeros(groups.max() + 1, dtype=int)
    np.minimum.at(least, groups, arms)
    np.maximum.at(most, groups, arms)
    return most if np.array_equal(least, most) else np.zeros(groups.max() + 1, dtype=int)
