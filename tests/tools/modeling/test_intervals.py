"""The bootstrap interval of a score is that of scikit-learn's score over the same resamples."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import bootstrap
from sklearn.metrics import roc_auc_score

from mlops_mcp.tools.modeling import metrics


def scored(rows: int, digits: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    chance = np.round(draw.random(rows), digits)
    return (draw.random(rows) < chance).astype(int), np.column_stack([1 - chance, chance])


def auc() -> metrics.Metric:
    return next(metric for metric in metrics._all() if metric.name == "auc")  # pyright: ignore[reportPrivateUsage]


@pytest.mark.parametrize(("rows", "digits", "seed"), [(400, 9, 0), (60, 1, 1), (200, 0, 2)], ids=["", "ties", "two"])
def test_the_interval_of_an_auc_is_sklearns(rows: int, digits: int, seed: int) -> None:
    truth, prediction = scored(rows, digits, seed)

    def of(index: np.ndarray) -> float:
        chosen = index.astype(int)
        return float(roc_auc_score(truth[chosen], prediction[chosen, 1]))

    known = bootstrap(
        (np.arange(rows),), of, n_resamples=200, vectorized=False, method="percentile", rng=0
    ).confidence_interval
    assert metrics.interval(auc(), truth, prediction) == pytest.approx((known.low, known.high), abs=1e-12)


def test_rows_too_few_for_every_resample_to_have_both_classes_have_no_interval() -> None:
    truth = np.array([0, 1, 0])
    chance = np.array([0.2, 0.7, 0.4])
    assert metrics.interval(auc(), truth, np.column_stack([1 - chance, chance])) is None


def test_many_rows_are_resampled_a_part_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    truth, prediction = scored(300, 9, 3)
    whole = metrics.interval(auc(), truth, prediction)
    monkeypatch.setattr(metrics, "VALUES_AT_A_TIME", 300 * 7)
    assert metrics.interval(auc(), truth, prediction) == whole
