"""The scores of many weightings of the same rows at once, which is what bootstrap and jackknife ask for.

Each function takes truth and prediction as `metrics.Metric.score` does, and the unit of each row (rows of one unit are
drawn together). It returns a function from weights of shape (samples, units) to scores of shape (samples,), NaN where a
sample has none. Most scores are functions of a few sums over rows, so that all samples cost one matrix product.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

Weighted = Callable[["np.ndarray"], "np.ndarray"]
Resampled = Callable[["np.ndarray", "np.ndarray", "np.ndarray"], Weighted]

# So many weights of rows are in memory at once, for as many samples as that is.
ROW_WEIGHTS = 1 << 18


def log_loss(truth: np.ndarray, prediction: np.ndarray, units: np.ndarray) -> Weighted:
    return _mean(log_losses(truth, prediction), units)


def log_losses(truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """The loss of each row."""
    import numpy as np

    shares = prediction / prediction.sum(axis=1, keepdims=True)
    chosen = np.take_along_axis(shares, truth[:, None].astype(int), axis=1)[:, 0]
    least = np.finfo(shares.dtype).eps  # as sklearn.metrics.log_loss clips
    losses: np.ndarray = -np.log(np.clip(chosen, least, 1 - least))
    return losses


def brier(truth: np.ndarray, prediction: np.ndarray, units: np.ndarray) -> Weighted:
    return _mean((truth - prediction[:, 1]) ** 2, units)


def accuracy(truth: np.ndarray, prediction: np.ndarray, units: np.ndarray) -> Weighted:
    return _mean(truth == prediction.argmax(1), units)


def mae(truth: np.ndarray, prediction: np.ndarray, units: np.ndarray) -> Weighted:
    return _mean(abs(truth - prediction), units)


def rmse(truth: np.ndarray, prediction: np.ndarray, units: np.ndarray) -> Weighted:
    mean = _mean((truth - prediction) ** 2, units)
    return lambda weights: mean(weights) ** 0.5


def r2(truth: np.ndarray, prediction: np.ndarray, units: np.ndarray) -> Weighted:
    centred = truth - truth.mean()  # else the sums of squares cancel
    parts = _sums([centred * 0 + 1, centred, centred**2, (truth - prediction) ** 2], units)

    def of(weights: np.ndarray) -> np.ndarray:
        count, total, squares, left = (weights @ parts).T
        return 1 - _ratio(left, squares - _ratio(total**2, count))

    return of


def r_score(truth: np.ndarray, prediction: np.ndarray, units: np.ndarray) -> Weighted:
    outcome, treatment = truth[:, 0], truth[:, 1]
    left = (outcome - prediction * treatment) ** 2
    parts = _sums([outcome**2, outcome * treatment, treatment**2, left], units)

    def of(weights: np.ndarray) -> np.ndarray:
        squares, product, treated, missed = (weights @ parts).T
        return 1 - _ratio(missed, squares - _ratio(product**2, treated))

    return of


def of_labels(name: str) -> Resampled:
    """Precision, recall or F1 of the positive class of two, else their mean over classes (sklearn's `macro`)."""

    def resampled(truth: np.ndarray, prediction: np.ndarray, units: np.ndarray) -> Weighted:
        import numpy as np

        classes = [1] if prediction.shape[1] == 2 else list(range(prediction.shape[1]))
        counts = _counts(truth, prediction, classes, units)

        def of(weights: np.ndarray) -> np.ndarray:
            hit, actual, predicted = (weights @ part for part in counts)
            below = {"precision": predicted, "recall": actual, "f1": (predicted + actual) / 2}[name]
            shares = _ratio(hit, below)
            return shares[:, 0] if len(classes) == 1 else np.nan_to_num(shares).mean(-1)

        return of

    return resampled


def balanced_accuracy(truth: np.ndarray, prediction: np.ndarray, units: np.ndarray) -> Weighted:
    """The mean recall over the classes that a sample holds."""
    import numpy as np

    hits, actual, _ = _counts(truth, prediction, sorted(set(truth.tolist())), units)

    def of(weights: np.ndarray) -> np.ndarray:
        recalls = _ratio(weights @ hits, weights @ actual)
        return _ratio(np.nan_to_num(recalls).sum(-1), (~np.isnan(recalls)).sum(-1))

    return of


def average_precision(truth: np.ndarray, prediction: np.ndarray, units: np.ndarray) -> Weighted:
    import numpy as np

    order, last = _by_falling_score(prediction[:, 1])
    positive, unit = (truth[order] == 1).astype(float), units[order]

    def of(weights: np.ndarray) -> np.ndarray:
        # The weights of all rows in all samples at once take gigabytes, and do not fit into a cache.
        few = max(1, ROW_WEIGHTS // len(unit))
        return np.concatenate([of_few(weights[start : start + few]) for start in range(0, len(weights), few)])

    def of_few(weights: np.ndarray) -> np.ndarray:
        ordered = weights.take(unit, axis=1)
        seen = ordered.cumsum(-1).take(last, axis=1)
        found = np.multiply(ordered, positive, out=ordered).cumsum(-1).take(last, axis=1)
        precision = np.divide(found, seen, out=np.zeros_like(found), where=seen > 0)
        return _ratio((np.diff(found, axis=-1, prepend=0) * precision).sum(-1), found[:, -1])

    return of


def _by_falling_score(score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The order of the rows, and where in it each run of equal scores ends."""
    import numpy as np

    order = np.argsort(-score, kind="stable")
    ordered = score[order]
    return order, np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))


def _mean(values: np.ndarray, units: np.ndarray) -> Weighted:
    parts = _sums([values.astype(float), values.astype(float) * 0 + 1], units)

    def of(weights: np.ndarray) -> np.ndarray:
        total, count = (weights @ parts).T
        return _ratio(total, count)

    return of


def _counts(
    truth: np.ndarray, prediction: np.ndarray, classes: Sequence[int], units: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How many hits, actual and predicted rows of each class a unit has, each of shape (units, classes)."""
    guess = prediction.argmax(1)
    hits = [(truth == position) & (guess == position) for position in classes]
    actual, predicted = [truth == position for position in classes], [guess == position for position in classes]
    return _sums(hits, units), _sums(actual, units), _sums(predicted, units)


def _sums(columns: Sequence[np.ndarray], units: np.ndarray) -> np.ndarray:
    """The columns summed over the rows of each unit, shape (units, columns)."""
    import numpy as np

    return np.column_stack([np.bincount(units, column) for column in columns])


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    import numpy as np

    return np.divide(above, below, out=np.full(np.shape(above), np.nan), where=np.asarray(below) > 0)
