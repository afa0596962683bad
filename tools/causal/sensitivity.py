"""How strong hidden confounding would have to be to explain an effect away.

The robustness value is that of Cinelli, Hazlett, "Making sense of sensitivity", 2020, for doubly robust averages as in
Chernozhukov et al., "Long story short: omitted variable bias in causal machine learning", 2022, by econml; the E-value
that of VanderWeele, Ding, "Sensitivity analysis in observational research: introducing the E-value", 2017.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..estimates import Estimate
from .average import LEVEL, Contrast, Sample, least_chance
from .models import Sensitivity, Target
from .plain import is_rate

if TYPE_CHECKING:
    import numpy as np

# VanderWeele and Ding's approximation of a risk ratio by a standardised difference, and what its error adds.
RATIO, REACH = 0.91, 1.78


def sensitivities(sample: Sample, found: list[Contrast], lifts: list[Estimate], target: Target) -> list[Sensitivity]:
    """One for each arm; econml knows no robustness value of the effect on the treated."""
    values = _robustness(sample, len(found)) if target == "all" else [(None, None)] * len(found)
    return [
        Sensitivity(
            robustness_value=value, robustness_value_interval=bound, e_value=ratios[0], e_value_interval=ratios[1]
        )
        for (value, bound), ratios in zip(
            values, (_e_values(sample, one, lift) for one, lift in zip(found, lifts, strict=True)), strict=True
        )
    ]


def _robustness(sample: Sample, arms: int) -> list[tuple[float | None, float | None]]:
    import numpy as np
    from econml.validate.sensitivity_analysis import RV, dr_sensitivity_values

    bound = least_chance(len(sample.arms))
    chances = np.clip(sample.chances, bound, 1 - bound)
    dummies = np.eye(arms + 1)[sample.arms]
    corrected = sample.outcomes + dummies / chances * (sample.outcome[:, None] - sample.outcomes)
    values = dr_sensitivity_values(sample.outcome, dummies[:, 1:], corrected, chances)
    made: list[tuple[float | None, float | None]] = []
    for arm, (theta, sigma, nu, cov) in enumerate(
        zip(values.theta, values.sigma, values.nu, values.cov, strict=True), start=1
    ):
        if not (sigma > 0 and nu > 0):
            made.append((None, None))
            continue
        if sample.groups is not None:
            cov = _by_cluster(_scores(sample, corrected, chances, arm), sample.groups)
        point, reach = (RV(theta, sigma, nu, cov, 1 - LEVEL, interval_type=kind) for kind in ("theta", "ci"))
        made.append((float(point), float(reach)))
    return made


def _scores(sample: Sample, corrected: np.ndarray, chances: np.ndarray, arm: int) -> np.ndarray:
    """What each row adds to the effect, to the variance left of the outcome and to the second moment of the weights,
    of which econml tells only the covariance of independent rows; shape (rows, 3)."""
    import numpy as np

    rows, arms = np.arange(len(sample.arms)), sample.arms
    left = np.where(np.isin(arms, [0, arm]), (sample.outcome - sample.outcomes[rows, arms]) ** 2, 0.0)
    weights = (arms == arm) / chances[:, arm] - (arms == 0) / chances[:, 0]
    moment = 2 * (1 / chances[:, arm] + 1 / chances[:, 0]) - weights**2
    return np.column_stack([corrected[:, arm] - corrected[:, 0], left, moment])


def _by_cluster(scores: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """The covariance of their means, from the sums of clusters."""
    import numpy as np

    sums = np.column_stack([np.bincount(groups, part) for part in (scores - scores.mean(axis=0)).T])
    made: np.ndarray = sums.T @ sums * len(sums) / (len(sums) - 1) / len(scores) ** 2
    return made


def _e_values(sample: Sample, found: Contrast, lift: Estimate) -> tuple[float | None, float | None]:
    """That of the effect, and of the bound of its interval that is nearer to none."""
    if is_rate(sample.outcome):
        if lift.value is None or lift.interval is None:
            return None, None
        ratio, bounds = lift.value + 1, [bound + 1 for bound in lift.interval]
    else:
        spread = float(sample.outcome.std())
        if not spread:
            return None, None
        size, reach = found.effect / spread, REACH * found.error / spread
        ratio, bounds = math.exp(RATIO * size), [math.exp(RATIO * size - reach), math.exp(RATIO * size + reach)]
    nearest = 1.0 if bounds[0] <= 1 <= bounds[1] else min(bounds, key=lambda bound: abs(math.log(bound)))
    return e_value(ratio), e_value(nearest)


def e_value(ratio: float) -> float | None:
    """The risk ratio that a confounder must have with treatment and outcome to explain this one."""
    if ratio <= 0:
        return None
    ratio = max(ratio, 1 / ratio)
    return ratio + math.sqrt(ratio * (ratio - 1))
