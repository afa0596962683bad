"""Whether probabilities are what happens: regression on log-odds, bins, the parts of the Brier score, a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import ToolFailure
from ..estimates import Estimate
from ..modeling.card import ModelCard
from ..pictures import WHOLE, Picture, drawn, label, table
from .models import Calibration, CalibrationBin

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure

BINS = 10
# Probabilities of 0 and 1 have no log-odds.
EDGE = 1e-6
Z = 1.959964


def calibration(card: ModelCard, truth: np.ndarray, prediction: np.ndarray) -> Calibration | str:
    """How far the probabilities are right, or why that cannot be said.

    Raises:
        ToolFailure: the model does not tell two classes.
    """
    import numpy as np

    if not card.binary:
        raise ToolFailure("calibration is of two classes", "Leave 'calibration' out.")
    if len(np.unique(truth)) < 2:
        return "calibration is not known: the rows are all of one class"
    chance = prediction[:, 1]
    bins = _bins(truth, chance)
    brier, recalibrated, plain = _brier(truth, chance), _brier(truth, _isotonic(truth, chance)), truth.var()
    slope, intercept = _cox(truth, chance)
    return Calibration(
        slope=slope,
        intercept=intercept,
        ece=sum(each.n * abs(each.predicted - each.observed) for each in bins) / len(truth),
        brier=brier,
        miscalibration=brier - recalibrated,
        discrimination=float(plain) - recalibrated,
        uncertainty=float(plain),
        bins=bins,
    )


def _brier(truth: np.ndarray, chance: np.ndarray) -> float:
    return float(((truth - chance) ** 2).mean())


def _isotonic(truth: np.ndarray, chance: np.ndarray) -> np.ndarray:
    from sklearn.isotonic import IsotonicRegression

    fitted: np.ndarray = IsotonicRegression().fit_transform(chance, truth.astype(float))
    return fitted


def _bins(truth: np.ndarray, chance: np.ndarray) -> list[CalibrationBin]:
    """Of equal count; equal probabilities stay in one."""
    import numpy as np
    from scipy.stats import binomtest

    edges = np.unique(np.quantile(chance, np.linspace(0, 1, BINS + 1)[1:-1]))
    place = np.searchsorted(edges, chance, side="left")
    made: list[CalibrationBin] = []
    for each in np.unique(place):
        inside = place == each
        hits, count = int(truth[inside].sum()), int(inside.sum())
        found = binomtest(hits, count).proportion_ci(0.95, method="wilson")
        made.append(
            CalibrationBin(
                n=count, predicted=float(chance[inside].mean()), observed=hits / count,
                interval=(float(found.low), float(found.high)),
            )
        )  # fmt: skip
    return made


def _cox(truth: np.ndarray, chance: np.ndarray) -> tuple[Estimate, Estimate]:
    """Slope and intercept with Wald intervals; null where the log-odds separate the classes, or never change."""
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    held = np.clip(chance, EDGE, 1 - EDGE)
    odds = np.log(held / (1 - held))
    counts: dict[str, Any] = {"n": len(truth), "positives": int(truth.sum())}
    why = _no_regression(truth, odds)
    if why:
        return Estimate(value=None, reason=why, **counts), Estimate(value=None, reason=why, **counts)
    fitted = LogisticRegression(C=np.inf, max_iter=1000, tol=1e-8).fit(odds[:, None], truth)
    own = fitted.predict_proba(odds[:, None])[:, 1]
    design = np.column_stack([np.ones(len(odds)), odds])
    errors = np.linalg.inv(design.T @ (design * (own * (1 - own))[:, None])).diagonal() ** 0.5
    values = (float(fitted.intercept_[0]), float(fitted.coef_[0, 0]))
    intercept, slope = (
        Estimate(
            value=value, interval=(value - Z * error, value + Z * error), method="95 % Wald", baseline=right, **counts
        )
        for value, error, right in zip(values, map(float, errors), (0.0, 1.0), strict=True)
    )
    return slope, intercept


def _no_regression(truth: np.ndarray, odds: np.ndarray) -> str:
    if odds.max() == odds.min():
        return "all probabilities are the same"
    ones, zeros = odds[truth == 1], odds[truth == 0]
    if ones.min() > zeros.max() or ones.max() < zeros.min():
        return "the probabilities separate the classes"
    return ""


def picture(found: Calibration, title: str) -> Picture:
    """The reliability diagram: the share of positives against the probability, with Wilson intervals."""

    def draw(figure: Figure) -> None:
        figure.set_size_inches(4.5, 4.5)
        axes = figure.add_subplot()
        axes.plot([0, 1], [0, 1], color="grey", linewidth=1, linestyle="--")
        x, y = [each.predicted for each in found.bins], [each.observed for each in found.bins]
        below = [each.observed - each.interval[0] for each in found.bins]
        above = [each.interval[1] - each.observed for each in found.bins]
        axes.errorbar(x, y, yerr=[below, above], fmt="o-", capsize=3)
        axes.set(xlabel="predicted probability", ylabel="share of positives", xlim=(0, 1), ylim=(0, 1))
        axes.set_title(label(title, 80), fontsize=9)

    rows = [(each.predicted, each.observed, *each.interval, each.n) for each in found.bins]
    return drawn(draw, table(("predicted", "observed", "low", "high", "n"), rows), WHOLE)
