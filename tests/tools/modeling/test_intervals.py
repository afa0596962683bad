"""Intervals hold the truth as often as they say, and say why where there is none."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import norm
from sklearn import metrics as sk

from mlops_mcp.tools.modeling import intervals, metrics, resampled
from mlops_mcp.tools.modeling.card import ModelCard

Drawn = tuple[np.ndarray, np.ndarray]
METRICS = {metric.name: metric for metric in metrics._all()}  # pyright: ignore[reportPrivateUsage]
SAMPLED = [metric for metric in METRICS.values() if metric.resampled and metric.task == "classification"]


def classified(rows: int, seed: int, apart: float = 1.0, share: float = 0.1, digits: int = 12) -> Drawn:
    """Scores that are normal within each class, so that the true AUC is known."""
    draw = np.random.default_rng(seed)
    truth = (draw.random(rows) < share).astype(int)
    odds = np.log(share / (1 - share)) + apart * (draw.normal(size=rows) + apart * truth) - apart**2 / 2
    chance = np.round(1 / (1 + np.exp(-odds)), digits)
    return truth, np.column_stack([1 - chance, chance])


def covered(name: str, truth: float, make: Callable[[int], Drawn], samples: int, clusters: np.ndarray | None) -> float:
    """The share of samples whose interval holds the truth, of those that have one."""
    found = [intervals.interval(METRICS[name], *make(seed), clusters, seed).bounds for seed in range(samples)]
    return float(np.mean([low <= truth <= high for low, high in filter(None, found)]))


# The full measurement is benchmarks/intervals.py; these bounds are 92 to 98 % and four standard errors of the samples.
@pytest.mark.parametrize("rows", [40, 200, 1000])
def test_the_interval_of_an_auc_holds_the_truth(rows: int) -> None:
    held = covered("auc", float(norm.cdf(0.5**0.5)), lambda seed: classified(rows, seed), 400, None)
    assert 0.92 - 0.04 <= held <= 0.98 + 0.02


@pytest.mark.parametrize("rows", [40, 200, 1000])
def test_the_interval_of_an_accuracy_holds_the_truth(rows: int) -> None:
    cut = (np.log(9) + 2) / 2  # where the chance of the positive class is a half
    truth = float(0.9 * norm.cdf(cut) + 0.1 * norm.cdf(2 - cut))
    held = covered("accuracy", truth, lambda seed: classified(rows, seed, apart=2.0), 400, None)
    assert 0.92 - 0.04 <= held <= 0.98 + 0.02


def normal_errors(rows: int, seed: int, clusters: np.ndarray | None = None) -> Drawn:
    draw = np.random.default_rng(seed)
    own = draw.normal(size=rows)
    errors = own if clusters is None else (own + draw.normal(size=rows)[clusters]) / 2**0.5
    return errors, np.zeros(rows)


@pytest.mark.parametrize("clusters", [None, np.arange(200) // 2], ids=["rows", "pairs"])
def test_the_interval_of_an_rmse_holds_the_truth(clusters: np.ndarray | None) -> None:
    held = covered("rmse", 1.0, lambda seed: normal_errors(200, seed, clusters), 300, clusters)
    assert 0.92 - 0.05 <= held <= 0.98 + 0.02


def test_rows_that_belong_together_have_a_wider_interval_than_as_many_single_ones() -> None:
    clusters = np.repeat(np.arange(30), 10)
    truth, prediction = classified(30, 4, share=0.4)
    repeated = truth[clusters], prediction[clusters]
    for name in ("auc", "accuracy", "log_loss"):
        (low, high), (below, above) = (
            intervals.interval(METRICS[name], *repeated, groups).bounds or (0, 0) for groups in (None, clusters)
        )
        assert above - below > 2 * (high - low) > 0


@pytest.mark.parametrize("metric", SAMPLED, ids=lambda metric: metric.name)
@pytest.mark.parametrize("digits", [1, 12], ids=["ties", "no ties"])
def test_a_weighting_of_rows_scores_as_the_repeated_rows_do(metric: metrics.Metric, digits: int) -> None:
    truth, prediction = classified(120, 3, share=0.3, digits=digits)
    prediction = np.clip(prediction, 1e-6, 1)
    weights = np.random.default_rng(0).integers(0, 4, (5, 120))
    assert metric.resampled is not None
    found = metric.resampled(truth, prediction, np.arange(120))(weights.astype(float))
    expected = [metric.score(np.repeat(truth, times), np.repeat(prediction, times, axis=0)) for times in weights]
    assert found == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", ["rmse", "mae", "r2"])
def test_a_weighting_of_rows_scores_numbers_as_the_repeated_rows_do(name: str) -> None:
    draw = np.random.default_rng(0)
    truth = draw.normal(size=80) + 1e6
    prediction, weights = truth + draw.normal(size=80), draw.integers(0, 4, (5, 80))
    resampled = METRICS[name].resampled
    assert resampled is not None
    expected = [METRICS[name].score(np.repeat(truth, times), np.repeat(prediction, times)) for times in weights]
    assert resampled(truth, prediction, np.arange(80))(weights.astype(float)) == pytest.approx(expected, rel=1e-9)


def test_the_interval_of_an_auc_is_delongs_with_a_wider_tail() -> None:
    truth, prediction = classified(300, 5, share=0.4)
    positive, negative = prediction[truth == 1, 1], prediction[truth == 0, 1]
    wins = (positive[:, None] > negative) + 0.5 * (positive[:, None] == negative)
    area = float(wins.mean())
    error = (wins.mean(1).var(ddof=1) / len(positive) + wins.mean(0).var(ddof=1) / len(negative)) ** 0.5
    half = 1.96 * error / (area * (1 - area))
    expected = [1 / (1 + np.exp(-(np.log(area / (1 - area)) + sign * half))) for sign in (-1, 1)]
    found = intervals.interval(METRICS["auc"], truth, prediction)
    assert area == pytest.approx(sk.roc_auc_score(truth, prediction[:, 1]))
    assert found.method == "logit-DeLong"
    assert found.bounds == pytest.approx(expected, abs=2e-3)


def test_a_perfect_score_has_an_interval_of_some_width() -> None:
    truth = np.array([0, 1] * 10)
    perfect = np.column_stack([1.0 - truth, truth])
    wilson = 20 / (20 + 1.959964**2)
    assert intervals.interval(METRICS["accuracy"], truth, perfect).bounds == pytest.approx((wilson, 1.0))
    for right in (perfect, 1 - perfect):
        found = intervals.interval(METRICS["auc"], truth, right)
        assert found.method == "Newcombe"
        low, high = found.bounds or (0, 0)
        assert 0.05 < high - low < 0.3
        assert 1.0 in (high, 1 - low)


@pytest.mark.parametrize(
    ("name", "truth", "prediction", "says"),
    [
        ("rmse", np.arange(9.0), np.zeros(9), "9 rows are too few"),
        ("rmse", np.ones(50), np.zeros(50), "every resample has the same score"),
        ("auc", np.ones(9, dtype=int), np.full((9, 2), 0.5), "every class"),
        ("precision", np.ones(9, dtype=int), np.tile([0.9, 0.1], (9, 1)), "no rows count"),
        ("average_precision", np.array([1] + [0] * 49), np.tile([0.9, 0.1], (50, 1)), "of the resamples have no such"),
    ],
)
def test_where_there_is_no_interval_the_reason_is_said(
    name: str, truth: np.ndarray, prediction: np.ndarray, says: str
) -> None:
    found = intervals.interval(METRICS[name], truth, prediction)
    assert found.bounds is None
    assert says in found.reason


def test_a_score_of_many_rows_is_resampled_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    truth, prediction = normal_errors(4000, 1)
    whole = intervals.interval(METRICS["rmse"], truth, prediction).bounds
    monkeypatch.setattr(intervals, "MOST_UNITS", 500)
    blocks = intervals.interval(METRICS["rmse"], truth, prediction).bounds
    assert whole is not None
    assert blocks == pytest.approx(whole, abs=0.003)


def test_one_undefined_score_costs_none_of_the_others() -> None:
    card = ModelCard(
        algorithm="XGBoost", task="classification", target="y", classes=[0, 1], features=[], dataset="d", rows=9
    )
    found = metrics.measured(card, np.zeros(9, dtype=int), np.tile([0.7, 0.3], (9, 1)))
    assert {name for name, value in found.values.items() if value is None} == {
        "auc", "average_precision", "precision", "recall", "f1",
    }  # fmt: skip
    assert found.values["accuracy"] == 1.0
    assert found.values["log_loss"] == pytest.approx(-np.log(0.7))
    assert all(reason for reason in found.reasons.values())


def test_a_single_row_has_an_error_but_no_share_of_the_spread() -> None:
    card = ModelCard(algorithm="Ridge", task="regression", target="y", features=[], dataset="d", rows=1)
    found = metrics.measured(card, np.array([3.0]), np.array([1.0]))
    assert found.values == {"rmse": 2.0, "mae": 2.0, "r2": None}


def test_average_precision_of_many_samples_is_that_of_each_and_takes_little_memory() -> None:
    draw, rows, count = np.random.default_rng(0), 20_000, 500
    share = draw.random(rows).round(2)
    prediction, truth = np.column_stack([1 - share, share]), (draw.random(rows) < share).astype(int)
    scored = resampled.average_precision(truth, prediction, draw.integers(0, count, rows))
    weights = draw.integers(0, 3, (100, count)).astype(float)
    tracemalloc.start()
    found = scored(weights)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.tolist() == [scored(sample[None])[0] for sample in weights]
    # The weights of all rows in all samples are 16 MB, of which there would be several.
    assert peak < 16 << 20
