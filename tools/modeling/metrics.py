"""Scores of predictions, the direction in which each is better, and how sure they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ..errors import ToolFailure, unknown
from .card import ModelCard, Task

if TYPE_CHECKING:
    import numpy as np

Direction = Literal["maximize", "minimize"]
Score = Callable[["np.ndarray", "np.ndarray"], float]
# Of the resamples that are scored at a time, in numbers.
VALUES_AT_A_TIME = 2_000_000


@dataclass(frozen=True)
class Metric:
    """`score(truth, prediction)`: labels as class positions with probabilities (rows, classes), or numbers.

    For effects the truth is what first stages leave of outcome and treatment (rows, 2), see `effects.EffectScorer`.
    """

    name: str
    task: Task
    direction: Direction
    score: Score
    binary_only: bool = False


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


def interval(
    metric: Metric, truth: np.ndarray, prediction: np.ndarray, seed: int = 0, resamples: int = 200
) -> tuple[float, float] | None:
    """A 95 % percentile bootstrap interval over rows (scipy.stats.bootstrap).

    None when the rows are too few for every resample to have a score.
    """
    import numpy as np
    from scipy.stats import bootstrap

    rows = np.arange(len(truth))
    of = _of_resamples(metric, truth, prediction)
    batch = max(1, VALUES_AT_A_TIME // max(1, len(rows)))
    try:
        found = bootstrap(
            (rows,), of, n_resamples=resamples, vectorized=True, batch=batch, method="percentile", rng=seed
        )
    except (ToolFailure, ValueError):
        return None
    low, high = float(found.confidence_interval.low), float(found.confidence_interval.high)
    return (low, high) if low <= high else None


def _of_resamples(metric: Metric, truth: np.ndarray, prediction: np.ndarray) -> Callable[..., np.ndarray]:
    """The score of each resample; its positions come as (…, rows)."""
    import numpy as np
    from sklearn import config_context

    def one(index: np.ndarray) -> float:
        # The rows have been scored as a whole before: checking each resample again takes half of the time.
        with config_context(assume_finite=True, skip_parameter_validation=True):
            return metric.score(truth[index], prediction[index])

    def of(index: np.ndarray, axis: int = -1) -> np.ndarray:
        chosen = np.moveaxis(index, axis, -1).astype(int)
        if metric.name == "auc" and prediction.shape[1] == 2:
            return _binary_auc(truth[chosen], prediction[chosen, 1])
        return np.apply_along_axis(one, -1, chosen)

    return of


def _binary_auc(truth: np.ndarray, score: np.ndarray) -> np.ndarray:
    """Area under the ROC curve of many samples (…, rows) by their ranks (Hanley & McNeil 1982, Radiology 143).

    NaN for a sample of one class.
    """
    import numpy as np
    from scipy.stats import rankdata

    positives = truth.sum(-1)
    negatives = truth.shape[-1] - positives
    ranks = (rankdata(score, axis=-1) * truth).sum(-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return (ranks - positives * (positives + 1) / 2) / (positives * negatives)


def _all() -> list[Metric]:
    return [*_classification(), *_regression(), Metric("r_score", "effect", "maximize", _r_score)]


def _classification() -> list[Metric]:
    from sklearn import metrics as sk

    def of_labels(name: str, score: Callable[..., float]) -> Metric:
        """A metric of hard labels; of the positive class when there are two, else the mean over classes."""

        def apply(truth: np.ndarray, prediction: np.ndarray) -> float:
            average = "binary" if prediction.shape[1] == 2 else "macro"
            return float(score(truth, prediction.argmax(1), average=average, zero_division=0))

        return Metric(name, "classification", "maximize", apply)

    return [
        Metric("auc", "classification", "maximize", _auc),
        Metric(
            "average_precision", "classification", "maximize",
            lambda y, p: sk.average_precision_score(y, p[:, 1]), binary_only=True,
        ),
        Metric(
            "log_loss", "classification", "minimize",
            # XGBoost's single-precision probabilities do not quite sum to one.
            lambda y, p: sk.log_loss(y, p / p.sum(axis=1, keepdims=True), labels=range(p.shape[1])),
        ),
        Metric(
            "brier", "classification", "minimize", lambda y, p: sk.brier_score_loss(y, p[:, 1]), binary_only=True
        ),
        Metric("accuracy", "classification", "maximize", lambda y, p: sk.accuracy_score(y, p.argmax(1))),
        Metric("balanced_accuracy", "classification", "maximize", _recalls),
        of_labels("f1", sk.f1_score),
        of_labels("precision", sk.precision_score),
        of_labels("recall", sk.recall_score),
    ]  # fmt: skip


def _regression() -> list[Metric]:
    from sklearn import metrics as sk

    return [
        Metric("rmse", "regression", "minimize", sk.root_mean_squared_error),
        Metric("mae", "regression", "minimize", sk.mean_absolute_error),
        Metric("r2", "regression", "maximize", sk.r2_score),
    ]


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
        raise ToolFailure(
            f"AUC needs every class among the rows; {present} of {prediction.shape[1]} occur", "Use more rows."
        )
    if prediction.shape[1] == 2:
        return float(roc_auc_score(truth, prediction[:, 1]))
    return float(roc_auc_score(truth, prediction, multi_class="ovr", labels=range(prediction.shape[1])))
