import numpy as np
import pytest
from scipy.stats import t
from sklearn.metrics import f1_score, log_loss, roc_auc_score

from mlops_mcp.tools.modeling.card import ModelCard
from mlops_mcp.tools.modeling.gains import gain
from mlops_mcp.tools.modeling.metrics import metric_named

BINARY = ModelCard(algorithm="", task="classification", target="y", classes=[0, 1], features=[], dataset="", rows=0)
THREE = BINARY.model_copy(update={"classes": [0, 1, 2]})
NUMBERS = BINARY.model_copy(update={"task": "regression", "classes": []})


def shares(score: np.ndarray) -> np.ndarray:
    return np.column_stack([1 - score, score])


def two_scores(rows: int, seed: int = 0, better: float = 0.5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A truth, and two noisy scores of it that share a part of their noise."""
    random = np.random.default_rng(seed)
    truth, common = random.integers(0, 2, rows), random.normal(size=rows)
    logits = [truth * weight + common + random.normal(size=rows) for weight in (1 + better, 1.0)]
    first, second = (shares(1 / (1 + np.exp(-each))) for each in logits)
    return truth, first, second


def delong(truth: np.ndarray, first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """The difference and its variance straight from the definition: psi of every pair of a positive and a negative."""
    parts = []
    for score in (first[:, 1], second[:, 1]):
        above = score[truth == 1][:, None] - score[truth == 0][None, :]
        psi = (above > 0) + (above == 0) / 2
        parts.append((psi.mean(), psi.mean(axis=1), psi.mean(axis=0)))
    ours, theirs = parts
    variance = sum(np.var(ours[place] - theirs[place], ddof=1) / len(ours[place]) for place in (1, 2))
    return ours[0] - theirs[0], float(variance)


@pytest.mark.parametrize("rounded", [None, 1])
def test_the_difference_of_two_areas_has_delongs_variance_also_with_ties(rounded: int | None) -> None:
    truth, first, second = two_scores(120)
    if rounded:
        first, second = (shares(np.round(each[:, 1], rounded)) for each in (first, second))
    apart, variance = delong(truth, first, second)
    found = gain(metric_named("auc", BINARY), truth, first, second)
    assert found.value == pytest.approx(apart)
    assert found.interval is not None
    low, high = found.interval
    assert (low + high) / 2 == pytest.approx(apart)
    # Its t quantile lies between those of the smaller class and of all rows.
    half = (high - low) / 2 / variance**0.5
    assert t.ppf(0.975, len(truth)) <= half <= t.ppf(0.975, min(truth.sum(), (1 - truth).sum()) - 1)
    assert (found.method, found.n, found.positives) == ("95 % paired DeLong", 120, int(truth.sum()))


def test_one_cluster_for_each_row_is_hardly_another_interval_and_copies_add_nothing() -> None:
    truth, first, second = two_scores(150)
    metric = metric_named("auc", BINARY)
    alone = gain(metric, truth, first, second, np.arange(150))
    many, owners = [np.repeat(each, 4, axis=0) for each in (truth, first, second)], np.repeat(np.arange(150), 4)
    copies = gain(metric, many[0], many[1], many[2], owners)
    blind = gain(metric, many[0], many[1], many[2])
    assert alone.interval == pytest.approx(copies.interval)
    assert blind.interval is not None
    assert copies.interval is not None
    assert np.diff(blind.interval) == pytest.approx(np.diff(copies.interval) / 2, rel=0.05)


@pytest.mark.parametrize(
    ("name", "sign", "score"),
    [("log_loss", -1, lambda y, p: log_loss(y, p)), ("f1", 1, lambda y, p: f1_score(y, p.argmax(1)))],
)
def test_a_gain_is_above_zero_for_the_better_whatever_the_direction_of_the_metric(name, sign, score) -> None:  # type: ignore[no-untyped-def]
    truth, first, second = two_scores(800, better=1.0)
    found = gain(metric_named(name, BINARY), truth, first, second)
    assert found.value == pytest.approx(sign * (score(truth, first) - score(truth, second)))
    assert (found.verdict, found.interval is not None and found.interval[0] > 0) == ("better", True)
    turned = gain(metric_named(name, BINARY), truth, second, first)
    assert turned.verdict == "worse"
    assert turned.value == pytest.approx(-(found.value or 0))


def test_the_bootstrap_of_a_mean_difference_is_that_of_the_differences_row_by_row() -> None:
    random = np.random.default_rng(0)
    truth = random.normal(size=400)
    first, second = truth + random.normal(0, 0.9, 400), truth + random.normal(0, 1.0, 400)
    found = gain(metric_named("mae", NUMBERS), truth, first, second)
    each = abs(truth - second) - abs(truth - first)
    half = t.ppf(0.975, 399) * each.std(ddof=1) / 20
    assert found.interval == pytest.approx((each.mean() - half, each.mean() + half), abs=0.15 * half)


def test_the_margin_moves_the_verdict_and_not_the_gain() -> None:
    truth, first, second = two_scores(600, better=1.0)
    plain = gain(metric_named("auc", BINARY), truth, first, second)
    assert plain.interval is not None
    low, high = plain.interval
    margins = {low - 0.001: "better", low + 0.001: "not_shown", high - 0.001: "not_shown", high + 0.001: "worse"}
    found = {each: gain(metric_named("auc", BINARY), truth, first, second, margin=each) for each in margins}
    assert {each: estimate.verdict for each, estimate in found.items()} == margins
    assert {estimate.value for estimate in found.values()} == {plain.value}


def test_more_classes_are_compared_by_the_mean_area() -> None:
    random = np.random.default_rng(1)
    truth = random.integers(0, 3, 300)
    first, second = (random.dirichlet([1, 1, 1], 300) + weight * np.eye(3)[truth] for weight in (0.5, 0.1))
    found = gain(metric_named("auc", THREE), truth, first / 1.5, second / 1.1)
    areas = [roc_auc_score(truth, p, multi_class="ovr") for p in (first / 1.5, second / 1.1)]
    assert found.value == pytest.approx(areas[0] - areas[1])
    assert found.verdict == "better"


@pytest.mark.parametrize(
    ("first", "second", "verdict", "says"),
    [
        ("truth", "noise", "better", None),
        ("truth", "truth", "not_shown", "same order"),
        ("truth", "constant", "better", None),
        ("constant", "constant", "not_shown", "same order"),
        ("constant", "truth", "worse", None),
    ],
)
def test_perfect_and_constant_scores_have_a_verdict_all_the_same(
    first: str, second: str, verdict: str, says: str | None
) -> None:
    random = np.random.default_rng(2)
    truth = np.arange(60) % 2
    kinds = {"truth": truth.astype(float), "noise": random.random(60), "constant": np.full(60, 0.5)}
    found = gain(metric_named("auc", BINARY), truth, shares(kinds[first]), shares(kinds[second]))
    assert found.verdict == verdict
    assert (found.reason is None) == (says is None)
    assert says is None or says in str(found.reason)


def test_rows_of_one_class_have_no_area_and_the_reason_is_said() -> None:
    _, first, second = two_scores(50)
    found = gain(metric_named("auc", BINARY), np.ones(50, dtype=int), first, second)
    assert (found.value, found.interval, found.verdict) == (None, None, "not_evaluated")
    assert "needs every class" in str(found.reason)


def test_few_rows_have_a_gain_and_no_interval_by_resampling() -> None:
    truth = np.arange(6.0)
    found = gain(metric_named("rmse", NUMBERS), truth, truth + 1, truth + 2)
    assert found.value == pytest.approx(1.0)
    assert (found.interval, found.verdict) == (None, "not_shown")
    assert "too few" in str(found.reason)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["auc", "brier"])
def test_the_intervals_hold_the_true_difference_as_often_as_they_say(name: str) -> None:
    """The truth is that of a million rows; 95 of 100 intervals hold it, give or take what chance does to 200."""
    metric = metric_named(name, BINARY)
    truth, first, second = two_scores(1_000_000, 999)
    sign = 1 if metric.direction == "maximize" else -1
    true = sign * (metric.score(truth, first) - metric.score(truth, second))
    found = [gain(metric, *two_scores(150, seed)).interval for seed in range(200)]
    held = sum(bounds is not None and bounds[0] <= true <= bounds[1] for bounds in found)
    assert 183 <= held <= 198
