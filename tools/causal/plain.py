"""What is to be seen without any adjustment: the mean of each arm, their difference, and the relative lift."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ..estimates import Estimate, Verdict
from .average import LEVEL, Contrast, Sample, around, mean_error
from .models import ArmMean

if TYPE_CHECKING:
    import numpy as np

# Fewer rows of the rarer outcome in an arm say nothing of how much a rate varies.
FEW_EVENTS = 5


def arm_mean(sample: Sample, arm: int, name: str) -> ArmMean:
    """The mean of an arm: of 0 and 1 with Wilson's interval (1927), else, and of clusters, with Student's."""
    from statsmodels.stats.proportion import proportion_confint

    rows = sample.arms == arm
    kept = sample.take(rows)
    value, size = float(kept.outcome.mean()), len(kept.outcome)
    positives = int(kept.outcome.sum()) if is_rate(sample.outcome) else None
    if positives is not None and kept.groups is None:
        bounds: Any = proportion_confint(positives, size, 1 - LEVEL, method="wilson")
        interval, method = (float(bounds[0]), float(bounds[1])), "95 % Wilson"
    else:
        error, freedom = mean_error(kept.outcome - value, kept.arms, kept.groups)
        interval, method = around(value, error, freedom), f"95 % t{_clustered(kept)}"
    return ArmMean(arm=name, value=value, interval=interval, method=method, n=size, positives=positives)


def difference(sample: Sample, arm: int) -> Estimate:
    """The difference of the plain means: of 0 and 1 with Newcombe's interval (1998), else with Welch's (1947)."""
    from statsmodels.stats.proportion import confint_proportions_2indep

    kept = sample.take((sample.arms == 0) | (sample.arms == arm))
    rows = kept.arms == arm
    value = float(kept.outcome[rows].mean() - kept.outcome[~rows].mean())
    rate = is_rate(sample.outcome)
    found: dict[str, Any] = {
        "value": value, "baseline": 0.0, "n": len(rows), "positives": int(kept.outcome.sum()) if rate else None,
    }  # fmt: skip
    if rate and kept.groups is None:
        counts = [(int(kept.outcome[part].sum()), int(part.sum())) for part in (rows, ~rows)]
        low, high = confint_proportions_2indep(*counts[0], *counts[1], method="newcomb", alpha=1 - LEVEL)
        interval, method = (float(low), float(high)), "95 % Newcombe"
    else:
        error, freedom = plain_error(kept, arm)
        interval, method = around(value, error, freedom), f"95 % Welch{_clustered(kept)}"
    return Estimate(**found, interval=interval, method=method, verdict=against(0.0, interval))


def plain_error(sample: Sample, arm: int) -> tuple[float, float]:
    """The standard error of the difference of two means, and its degrees of freedom."""
    import numpy as np

    influence = np.zeros(len(sample.outcome))
    for sign, rows in ((1, sample.arms == arm), (-1, sample.arms == 0)):
        influence[rows] = sign * (sample.outcome[rows] - sample.outcome[rows].mean()) * len(rows) / rows.sum()
    return mean_error(influence, sample.arms, sample.groups)


def lift(found: Contrast, n: int) -> Estimate:
    """The effect as a share of the mean without treatment, with the interval of the logarithm of the ratio of the means
    (Katz et al., 1978), which needs both to be above 0."""
    mean = found.means[1]
    if found.ratio_error is None or not mean > 0:
        return Estimate(value=None, n=n, reason="a share of a mean that is not above 0 means nothing")
    if around(mean, found.base_error, found.freedom)[0] <= 0:
        return Estimate(
            value=None, n=n, reason=f"the untreated mean, {mean:.4g}, is not told apart from 0: a share says nothing"
        )
    ratio = found.means[0] / mean
    low, high = around(math.log(ratio), found.ratio_error, found.freedom)
    interval = math.exp(low) - 1, math.exp(high) - 1
    return Estimate(
        value=ratio - 1, interval=interval, method="95 % log ratio of adjusted means", baseline=0.0, n=n,
        verdict=against(0.0, interval),
    )  # fmt: skip


def against(baseline: float, interval: tuple[float, float] | None) -> Verdict:
    if interval is None:
        return "not_evaluated"
    if interval[0] > baseline:
        return "above_baseline"
    return "below_baseline" if interval[1] < baseline else "not_distinguishable"


def is_rate(outcome: np.ndarray) -> bool:
    """Whether an outcome is 0 or 1 in every row."""
    return bool(((outcome == 0) | (outcome == 1)).all())


def rare(sample: Sample, arm: int) -> int | None:
    """How many rows of the rarer outcome an arm has; None where the outcome is no rate, or they are enough."""
    if not is_rate(sample.outcome):
        return None
    known = sample.outcome[sample.arms == arm]
    fewest = int(min(known.sum(), len(known) - known.sum()))
    return fewest if fewest < FEW_EVENTS else None


def _clustered(sample: Sample) -> str:
    return "" if sample.groups is None else " by cluster"
