"""Scores of predictions and the direction in which each is better."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ..errors import ToolFailure, unknown
from ..numbers import finite
from . import resampled
from .card import ModelCard, Task

if TYPE_CHECKING:
    import numpy as np

Direction = Literal["maximize", "minimize"]
Score = Callable[["np.ndarray", "np.ndarray"], float]
Outcomes = Callable[["np.ndarray", "np.ndarray"], "list[np.ndarray] | None"]
Losses = Callable[["np.ndarray", "np.ndarray"], "np.ndarray"]
Scale = Callable[[float], float]


class Undefined(ToolFailure):
    """A score that these rows do not have; the message says why."""


@dataclass(frozen=True)
class Metric:
    """`score(truth, prediction)`: labels as class positions with probabilities (rows, classes), or numbers.

    For effects the truth is what first stages leave of outcome and treatment (rows, 2), see `effects.EffectScorer`.
    `resampled` gives the same score of many weightings of the rows at once. `outcomes` are the successes and failures
    of a score that is a share of rows, or the mean of such shares of different rows, else None. `losses` are those of
    the rows: the less of them, the better the score. `scale` turns the mean of outcomes, else of losses, into the
    score; it is None where that mean does not make it. `settled` says that one answer for all rows has the same score
    on any.
    """

    name: str
    task: Task
    direction: Direction
    score: Score
    resampled: resampled.Resampled | None = None
    binary_only: bool = False
    outcomes: Outcomes | None = None
    losses: Losses | None = None
    scale: Scale | None = None
    settled: bool = False

    def __reduce__(self) -> tuple[Callable[[str, Task], Metric], tuple[str, Task]]:
        """By its name: its functions have none, so another process could not find them."""
        return _known, (self.name, self.task)


def _known(name: str, task: Task) -> Metric:
    return next(metric for metric in _all() if (metric.name, metric.task) == (name, task))


@dataclass(frozen=True)
class Scores:
    """The scores by name, null where one is undefined, and why."""

    values: dict[str, float | None]
    reasons: dict[str, str]

    @property
    def known(self) -> dict[str, float]:
        return {name: value for name, value in self.values.items() if value is not None}

    @property
    def notes(self) -> list[str]:
        return [f"{name} is undefined: {reason}" for name, reason in self.reasons.items()]


def metrics_for(card: ModelCard) -> list[Metric]:
    """The metrics that fit a model; the first is the one to judge it by."""
    return [metric for metric in _all() if metric.task == card.task and (card.binary or not metric.binary_only)]


def metric_named(name: str, card: ModelCard) -> Metric:
    """A metric by name; the empty name means the first that fits.

    Raises:
        ToolFailure: no metric of that name fits the model.
    """
    fitting = {metric.name: metric for metric in metrics_for(card)}
    if not name:
        return next(iter(fitting.values()))
    if name not in fitting:
        raise unknown(f"metric for {card.task}", name, fitting, limit=20)
    return fitting[name]


def measured(card: ModelCard, truth: np.ndarray, prediction: np.ndarray) -> Scores:
    """Every metric that fits a model; what is undefined on these rows costs none of the others."""
    values: dict[str, float | None] = {}
    reasons: dict[str, str] = {}
    for metric in metrics_for(card):
        try:
            values[metric.name] = finite(metric.score(truth, prediction))
        except Undefined as undefined:
            values[metric.name], reasons[metric.name] = None, str(undefined)
    return Scores(values, reasons)


def defined(metric: Metric, truth: np.ndarray, prediction: np.ndarray) -> float | None:
    """A score, or None where these rows have none."""
    try:
        return finite(metric.score(truth, prediction))
    except Undefined:
        return None


def _all() -> list[Metric]:
    return [*_classification(), *_regression(), *_effects()]


def _effects() -> list[Metric]:
    return [Metric("r_score", "effect", "maximize", _r_score, resampled.r_score, settled=True)]


def _classification() -> list[Metric]:
    return [*_of_chances(), *_of_labels()]


def _of_chances() -> list[Metric]:
    from sklearn import metrics as sk

    return [
        Metric("auc", "classification", "maximize", _auc, settled=True),
        Metric(
            "average_precision", "classification", "maximize", _average_precision, resampled.average_precision,
            binary_only=True,
        ),
        Metric(
            "log_loss", "classification", "minimize",
            # XGBoost's single-precision probabilities do not quite sum to one.
            lambda y, p: sk.log_loss(y, p / p.sum(axis=1, keepdims=True), labels=range(p.shape[1])),
            resampled.log_loss, losses=resampled.log_losses, scale=as_it_is,
        ),
        Metric(
            "brier", "classification", "minimize", lambda y, p: float(((y - p[:, 1]) ** 2).mean()), resampled.brier,
            binary_only=True, losses=lambda y, p: (y - p[:, 1]) ** 2, scale=as_it_is,
        ),
    ]  # fmt: skip


def _of_labels() -> list[Metric]:
    from sklearn import metrics as sk

    def of(name: str, score: Callable[..., float], outcomes: Outcomes, scale: Scale = as_it_is) -> Metric:
        """Of the positive class when there are two, else the mean over classes."""

        def apply(truth: np.ndarray, prediction: np.ndarray) -> float:
            _require_some(name, truth, prediction)
            average = "binary" if prediction.shape[1] == 2 else "macro"
            return float(score(truth, prediction.argmax(1), average=average, zero_division=0))

        return Metric(
            name, "classification", "maximize", apply, resampled.of_labels(name), outcomes=outcomes, scale=scale,
            settled=name == "recall",
        )  # fmt: skip

    return [
        Metric(
            "accuracy", "classification", "maximize", lambda y, p: sk.accuracy_score(y, p.argmax(1)),
            resampled.accuracy, outcomes=lambda y, p: [y == p.argmax(1)], losses=lambda y, p: y != p.argmax(1),
            scale=as_it_is,
        ),
        Metric(
            "balanced_accuracy", "classification", "maximize", _recalls, resampled.balanced_accuracy,
            outcomes=lambda y, p: _by_class(y, p.argmax(1), sorted(set(y.tolist()))), scale=as_it_is, settled=True,
        ),
        # Of the rows that are positive or taken for it the share j that are both makes F1 = 2j / (1 + j).
        of("f1", sk.f1_score, _both, lambda share: 2 * share / (1 + share)),
        of("precision", sk.precision_score, lambda y, p: _one_or_all(p.argmax(1), y, p)),
        of("recall", sk.recall_score, lambda y, p: _one_or_all(y, p.argmax(1), p)),
    ]  # fmt: skip


def as_it_is(mean: float) -> float:
    return mean


def _by_class(chosen: np.ndarray, other: np.ndarray, classes: Sequence[int]) -> list[np.ndarray] | None:
    """Of the rows chosen for each class, which are of it by the other side, too."""
    found = [other[chosen == position] == position for position in classes]
    return found if all(len(each) for each in found) else None


def _one_or_all(chosen: np.ndarray, other: np.ndarray, prediction: np.ndarray) -> list[np.ndarray] | None:
    if prediction.shape[1] == 2:
        return [other[chosen == 1] == 1]
    return _by_class(chosen, other, range(prediction.shape[1]))


def _both(truth: np.ndarray, prediction: np.ndarray) -> list[np.ndarray] | None:
    if prediction.shape[1] != 2:
        return None
    actual, predicted = truth == 1, prediction.argmax(1) == 1
    return [(actual & predicted)[actual | predicted]]


def _regression() -> list[Metric]:
    from sklearn import metrics as sk

    def squares(truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
        return (truth - prediction) ** 2

    return [
        Metric(
            "rmse", "regression", "minimize", sk.root_mean_squared_error, resampled.rmse, losses=squares,
            scale=lambda mean: max(mean, 0.0) ** 0.5,
        ),
        Metric(
            "mae", "regression", "minimize", sk.mean_absolute_error, resampled.mae,
            losses=lambda y, p: abs(y - p), scale=as_it_is,
        ),
        Metric("r2", "regression", "maximize", _r2, resampled.r2, losses=squares),
    ]  # fmt: skip


def _r2(truth: np.ndarray, prediction: np.ndarray) -> float:
    from sklearn.metrics import r2_score

    if len(set(truth.tolist())) < 2:
        raise Undefined("the target has one value only")
    return float(r2_score(truth, prediction))


def _r_score(truth: np.ndarray, prediction: np.ndarray) -> float:
    """How much better than the one effect that fits these rows best (econml.score.RScorer)."""
    outcome, treatment = truth[:, 0], truth[:, 1]
    constant = (outcome @ treatment) / (treatment @ treatment)
    left, least = outcome - prediction * treatment, outcome - constant * treatment
    return float(1 - (left @ left) / (least @ least))


def _recalls(truth: np.ndarray, prediction: np.ndarray) -> float:
    from sklearn.metrics import recall_score

    # balanced_accuracy_score warns when a predicted class is absent; over the present classes it is this.
    return float(recall_score(truth, prediction.argmax(1), average="macro", labels=sorted(set(truth.tolist()))))


def _auc(truth: np.ndarray, prediction: np.ndarray) -> float:
    from sklearn.metrics import roc_auc_score

    present = len(set(truth.tolist()))
    if present < 2 or present < prediction.shape[1]:
        raise Undefined(f"it needs every class among the rows, and {present} of {prediction.shape[1]} occur")
    if prediction.shape[1] == 2:
        return float(roc_auc_score(truth, prediction[:, 1]))
    return float(roc_auc_score(truth, prediction, multi_class="ovr", labels=range(prediction.shape[1])))


def _average_precision(truth: np.ndarray, prediction: np.ndarray) -> float:
    from sklearn.metrics import average_precision_score

    if not truth.any():
        raise Undefined("no row is of the positive class")
    return float(average_precision_score(truth, prediction[:, 1]))


def _require_some(name: str, truth: np.ndarray, prediction: np.ndarray) -> None:
    """Of two classes, each of these is a share of some rows, of which there must be one."""
    if prediction.shape[1] != 2:
        return
    actual, predicted = bool((truth == 1).any()), bool((prediction.argmax(1) == 1).any())
    if name == "recall" and not actual:
        raise Undefined("no row is of the positive class")
    if name == "precision" and not predicted:
        raise Undefined("no row is predicted to be of the positive class")
    if name == "f1" and not actual and not predicted:
        raise Undefined("no row is of the positive class, and none is predicted to be")
