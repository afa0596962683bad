"""How much better a model is than another on the same rows, and whether by more than a margin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..estimates import Estimate, Verdict
from .metrics import Metric, Undefined
from .paired import on_rows

if TYPE_CHECKING:
    import numpy as np

Bounds = tuple[float, float]


def gain(
    metric: Metric,
    truth: np.ndarray,
    one: np.ndarray,
    other: np.ndarray,
    clusters: np.ndarray | None = None,
    margin: float = 0.0,
) -> Estimate:
    """How much better one is than the other: above zero is better, also where the metric is minimised.

    Args:
        one, other: what each predicts of the rows of `truth`, as `Metric.score` takes it.
        clusters: the group of each row, as whole numbers from 0; rows of one group are not independent.
        margin: "better" and "worse" are said of a gain whose whole interval lies on that side of it.

    Returns:
        The gain in units of the metric, by `paired.on_rows`; its value is None, with the reason, where the rows have
        no such score.
    """
    positives = int((truth == 1).sum()) if metric.task == "classification" and one.shape[1] == 2 else None
    try:
        found = on_rows(metric, truth, one, other, clusters)
    except Undefined as undefined:
        return Estimate(
            value=None, n=len(truth), positives=positives, verdict="not_evaluated", reason=str(undefined)
        )  # fmt: skip
    bounds = found.bounds
    if bounds is not None and metric.direction == "minimize":
        bounds = (-bounds[1], -bounds[0])
    return Estimate(
        value=found.value if metric.direction == "maximize" else -found.value,
        interval=bounds,
        method=found.method or None,
        n=len(truth),
        positives=positives,
        verdict=_verdict(bounds, margin),
        reason=found.reason or None,
    )


def _verdict(bounds: Bounds | None, margin: float) -> Verdict:
    if bounds is None:
        return "not_shown"
    return "better" if bounds[0] > margin else "worse" if bounds[1] < margin else "not_shown"
