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

from .models import Target

if TYPE_CHECKING:
    import numpy as np

# Two-sided 95 % of the normal distribution.
NORMAL = 1.959964


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


@dataclass(frozen=True)
class Contrast:
    """The effect of an arm against the untreated, and two standard errors.

    `effective` is how many rows of the arm, and of the untreated, the weights amount to.
    """

    effect: float
    error: float
    population_error: float
    effective: tuple[float, float]

    def interval(self) -> list[float]:
        return around(self.effect, self.error)

    def population_interval(self) -> list[float]:
        return around(self.effect, self.population_error)


def around(value: float, error: float) -> list[float]:
    """The 95 % interval of a value with this standard error."""
    return [value - NORMAL * error, value + NORMAL * error]


def least_chance(rows: int) -> float:
    """Chances below are taken for this one: 5 / (sqrt(n) ln n), at most 0.05."""
    return min(0.05, 5 / (math.sqrt(rows) * math.log(rows)))


def contrast(sample: Sample, arm: int, target: Target) -> Contrast:
    """The average effect of an arm over all rows, or over the rows of that arm."""
    import numpy as np

    treated, untreated = sample.arms == arm, sample.arms == 0
    chances = np.maximum(sample.chances, least_chance(len(treated)))
    if target == "all":
        share = np.ones(len(treated))
        above, below = _weights(treated, 1 / chances[:, arm]), _weights(untreated, 1 / chances[:, 0])
    else:
        share = treated / treated.mean()
        above, below = share, _weights(untreated, chances[:, arm] / chances[:, 0])
    expected = share * (sample.outcomes[:, arm] - sample.outcomes[:, 0])
    missed = above * (sample.outcome - sample.outcomes[:, arm]) - below * (sample.outcome - sample.outcomes[:, 0])
    effect = float((expected + missed).mean())
    return Contrast(
        effect,
        _error(missed - missed.mean(), sample.groups),
        _error(expected + missed - share * effect, sample.groups),
        (_effective(above), _effective(below)),
    )


def naive(outcome: np.ndarray, treated: np.ndarray, untreated: np.ndarray) -> tuple[float, float]:
    """The plain difference of the means of two masks of rows, and its standard error (Welch, 1947)."""
    parts = [outcome[rows] for rows in (treated, untreated)]
    error = math.sqrt(sum(float(part.var(ddof=1)) / len(part) for part in parts))
    return float(parts[0].mean() - parts[1].mean()), error


def _weights(rows: np.ndarray, raw: np.ndarray) -> np.ndarray:
    """The weights of these rows, with a mean of 1 over all (Hájek)."""
    made = rows * raw
    return made / made.mean()


def _effective(weights: np.ndarray) -> float:
    """Kish, "Survey sampling", 1965."""
    return float(weights.sum() ** 2 / (weights**2).sum())


def _error(influence: np.ndarray, groups: np.ndarray | None) -> float:
    """The standard error of a mean, by the sums of groups where rows are not independent."""
    import numpy as np

    sums = influence if groups is None else np.bincount(groups, influence)
    scale = len(sums) / max(len(sums) - 1, 1)
    return math.sqrt(scale * float((sums**2).sum())) / len(influence)
