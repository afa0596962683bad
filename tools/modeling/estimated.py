"""A score as an `Estimate`: with its interval, the baseline, and how it stands to that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..estimates import AGAINST_BASELINE, Estimate, Verdict
from .card import ModelCard
from .folds import numbered
from .intervals import LEVEL, Interval, interval
from .metrics import Metric, Undefined
from .paired import on_rows, shown

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Answers:
    """The truth, a model's answers and those of a baseline, as `metrics.Metric.score` takes them.

    `baseline` is None where it is not known. `clusters` number the rows that belong together, from 0, if any do.
    """

    truth: np.ndarray
    prediction: np.ndarray
    baseline: np.ndarray | None = None
    clusters: np.ndarray | None = None

    def take(self, rows: np.ndarray) -> Answers:
        clusters = None if self.clusters is None else numbered(self.clusters[rows])
        baseline = None if self.baseline is None else self.baseline[rows]
        return Answers(self.truth[rows], self.prediction[rows], baseline, clusters)

    @property
    def independent(self) -> int:
        """How many rows or groups of rows there are."""
        return len(self.truth) if self.clusters is None else int(self.clusters.max(initial=-1)) + 1


def estimated(metric: Metric, card: ModelCard, answers: Answers, level: float = LEVEL, seed: int = 0) -> Estimate:
    """Whatever is not known of a score on these rows is null, and `reason` says why."""
    truth, prediction = answers.truth, answers.prediction
    positives = int((truth == 1).sum()) if card.binary else None
    try:
        value = metric.score(truth, prediction)
    except Undefined as undefined:
        return Estimate(value=None, n=len(truth), positives=positives, reason=str(undefined))
    found = interval(metric, truth, prediction, answers.clusters, seed, level)
    plain = _plain(metric, answers)
    return Estimate(
        value=value,
        interval=found.bounds,
        method=f"{100 * level:.4g} % {found.method}" if found.bounds else None,
        baseline=plain,
        n=len(truth),
        positives=positives,
        verdict=None if plain is None else _verdict(metric, answers, seed),
        reason=_why(found, answers, plain),
    )


def _plain(metric: Metric, answers: Answers) -> float | None:
    if answers.baseline is None:
        return None
    try:
        return metric.score(answers.truth, answers.baseline)
    except Undefined:
        return None


def _why(found: Interval, answers: Answers, plain: float | None) -> str | None:
    if found.bounds is None:
        return f"no interval: {found.reason}"
    lacks = answers.baseline is not None and plain is None
    return "no verdict: the baseline has no such score" if lacks else None


def _verdict(metric: Metric, answers: Answers, seed: int) -> Verdict | None:
    """By the interval of the difference from the baseline, on the same rows."""
    assert answers.baseline is not None
    found = on_rows(metric, answers.truth, answers.prediction, answers.baseline, answers.clusters, seed)
    if found.p is None and found.value:
        return None
    return AGAINST_BASELINE[shown(found.p, found.value if metric.direction == "maximize" else -found.value)]
