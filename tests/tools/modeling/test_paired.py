"""Differences of two models: the published formulas, and how often they hold the truth."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from scipy import stats

from mlops_mcp.tools.estimates import AGAINST_BASELINE
from mlops_mcp.tools.modeling.card import Feature, ModelCard
from mlops_mcp.tools.modeling.estimated import Answers, estimated
from mlops_mcp.tools.modeling.metrics import Metric, Undefined, metric_named
from mlops_mcp.tools.modeling.paired import holm, on_rows, over_folds, shown

REPETITIONS = 200


def metric(name: str, classes: int = 2) -> Metric:
    card = ModelCard(
        algorithm="XGBoost", task="classification", target="y", classes=list(range(classes)),
        features=[Feature(name="x", kind="number")], dataset="", rows=1,
    )  # fmt: skip
    return metric_named(name, card)


def shares(score: np.ndarray) -> np.ndarray:
    chance = 1 / (1 + np.exp(-score))
    return np.column_stack([1 - chance, chance])


def two_models(draw: np.random.Generator, rows: int, gap: float = 0.3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, and two scores that share noise; the first is the better by `gap`."""
    truth = (draw.random(rows) < 0.4).astype(int)
    common = draw.normal(size=rows)
    one, other = (shift * truth + common + draw.normal(size=rows) for shift in (1 + gap, 1.0))
    return truth, shares(one), shares(other)


def delong(truth: np.ndarray, one: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """The difference of two areas and its standard error by the kernel of every pair of rows, as it was published."""
    parts = []
    for score in (one[:, 1], other[:, 1]):
        positive, negative = score[truth == 1], score[truth == 0]
        kernel = (positive[:, None] > negative) + 0.5 * (positive[:, None] == negative)
        parts.append((kernel.mean(), kernel.mean(axis=1), kernel.mean(axis=0)))
    (first, up, left), (second, down, right) = parts
    variance = (up - down).var(ddof=1) / len(up) + (left - right).var(ddof=1) / len(left)
    return first - second, variance**0.5


def test_a_difference_of_areas_is_delongs() -> None:
    truth, one, other = two_models(np.random.default_rng(1), 300)
    value, error = delong(truth, one, other)
    found = on_rows(metric("auc"), truth, one, other)
    assert found.bounds is not None
    assert found.value == pytest.approx(value, abs=1e-12)
    # The quantile is that of t with many degrees of freedom here.
    assert (found.bounds[1] - found.bounds[0]) / 2 == pytest.approx(1.96 * error, rel=0.01)
    assert found.p == pytest.approx(2 * stats.norm.sf(abs(value) / error), rel=0.05)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "gap"), [("auc", 0.3), ("auc", 0.0), ("brier", 0.3), ("accuracy", 0.3)])
def test_the_interval_of_a_difference_holds_the_truth_in_95_of_100_samples(name: str, gap: float) -> None:
    draw, chosen = np.random.default_rng(5), metric(name)
    truth, one, other = two_models(draw, 400_000, gap)
    true = chosen.score(truth, one) - chosen.score(truth, other) if gap else 0.0
    held = 0
    for _ in range(REPETITIONS):
        bounds = on_rows(chosen, *two_models(draw, 150, gap)).bounds
        assert bounds is not None
        held += bounds[0] <= true <= bounds[1]
    assert 0.93 <= held / REPETITIONS <= 0.97


@pytest.mark.slow
def test_clusters_widen_the_interval_of_a_difference_as_far_as_the_truth_needs() -> None:
    draw, held = np.random.default_rng(0), 0
    for _ in range(REPETITIONS):
        truth, one, other = two_models(draw, 60, 0.0)
        again, groups = [np.repeat(each, 5, axis=0) for each in (truth, one, other)], np.repeat(np.arange(60), 5)
        bounds = on_rows(metric("auc"), again[0], again[1], again[2], groups).bounds
        assert bounds is not None
        held += bounds[0] <= 0 <= bounds[1]
    assert 0.93 <= held / REPETITIONS <= 0.97


def test_scores_over_folds_have_the_corrected_spread() -> None:
    values, sizes = [0.1, 0.3, 0.2, 0.4], [(75, 25)] * 4
    found = over_folds(values, sizes)
    error = np.std(values, ddof=1) * (1 / 4 + 25 / 75) ** 0.5
    low, high = stats.t.interval(0.95, 3, loc=0.25, scale=error)
    assert found.bounds == pytest.approx((low, high))
    assert found.p == pytest.approx(2 * stats.t.sf(0.25 / error, 3))
    assert over_folds(values, sizes, around=0.25).p == pytest.approx(1)


@pytest.mark.slow
def test_two_learners_that_are_equal_are_rarely_told_apart() -> None:
    """Each puts a row where the nearer class mean of its own column is; both columns say as much."""
    from sklearn.model_selection import RepeatedStratifiedKFold

    draw, called = np.random.default_rng(3), 0
    for repetition in range(REPETITIONS):
        truth = (np.arange(120) % 2).astype(int)
        columns = 0.7 * truth[:, None] + draw.normal(size=(120, 2))
        gains, sizes = [], []
        for fitted, scored in RepeatedStratifiedKFold(n_splits=5, n_repeats=2, random_state=repetition).split(
            columns, truth
        ):
            middles = [columns[fitted][truth[fitted] == label].mean(axis=0) for label in (0, 1)]
            right = (abs(columns[scored] - middles[1]) < abs(columns[scored] - middles[0])) == truth[scored][:, None]
            gains.append(float(right[:, 0].mean() - right[:, 1].mean()))
            sizes.append((len(fitted), len(scored)))
        found = over_folds(gains, sizes)
        called += shown(found.p, found.value) != 0
    assert called / REPETITIONS <= 0.05


def test_a_perfect_score_on_every_fold_is_beyond_doubt_and_no_difference_is_not() -> None:
    perfect = over_folds([0.5] * 3, [(200, 100)] * 3)
    assert shown(perfect.p, perfect.value) == 1
    few = over_folds([0.1] * 3, [(20, 10)] * 3)
    assert shown(few.p, few.value) == 0
    same = over_folds([0.0] * 3, [(20, 10)] * 3)
    assert (same.p, same.bounds, same.reason) == (None, None, "every fold says the same")


@pytest.mark.parametrize("name", ["auc", "brier"])
def test_the_same_answers_have_no_difference_to_be_sure_of(name: str) -> None:
    truth, one, _ = two_models(np.random.default_rng(2), 60)
    found = on_rows(metric(name), truth, one, one)
    assert (found.value, found.bounds, found.p) == (0.0, None, None)
    assert "same" in found.reason


def test_a_single_row_of_a_class_gives_no_interval_and_no_row_of_it_no_score() -> None:
    truth, one, other = two_models(np.random.default_rng(2), 60)
    truth[:] = 0
    with pytest.raises(Undefined):
        on_rows(metric("auc"), truth, one, other)
    truth[0] = 1
    assert on_rows(metric("auc"), truth, one, other).reason == "a class has one row"


def test_the_p_value_of_a_bootstrap_says_what_its_interval_says() -> None:
    draw = np.random.default_rng(0)
    for _ in range(40):
        found = on_rows(metric("brier"), *two_models(draw, 80))
        assert found.bounds is not None
        assert found.p is not None
        outside = not found.bounds[0] <= 0 <= found.bounds[1]
        assert outside == (found.p < 0.05)


@pytest.mark.parametrize("seed", range(5))
def test_p_values_of_many_pairs_are_raised_as_statsmodels_raises_them(seed: int) -> None:
    from statsmodels.stats.multitest import multipletests

    pairs = list(combinations("abcde", 2))
    values = np.random.default_rng(seed).random(len(pairs)) ** 3
    raised = holm(dict(zip(pairs, values.tolist(), strict=True)))
    expected = np.asarray(multipletests(values, method="holm")[1], dtype=float)
    assert [raised[pair] for pair in pairs] == pytest.approx(expected.tolist())


def test_of_three_classes_the_mean_area_is_compared() -> None:
    draw = np.random.default_rng(4)
    truth = draw.integers(0, 3, 200)
    one, other = (np.exp(draw.normal(size=(200, 3)) + gain * np.eye(3)[truth]) for gain in (2.0, 0.0))
    one, other = (each / each.sum(axis=1, keepdims=True) for each in (one, other))
    found = on_rows(metric("auc", 3), truth, one, other)
    assert shown(found.p, found.value) == 1
    assert "DeLong" in found.method


@pytest.mark.parametrize("rows", [200, 1000])
def test_accuracies_are_told_apart_as_mcnemars_exact_test_does(rows: int) -> None:
    """By how the rows fall on which only one of the two is right."""
    from statsmodels.stats.contingency_tables import mcnemar

    truth, said = np.zeros(rows, dtype=int), list[int]()
    for apart in (3, 4, 5, 6, 12, 20):
        for won in range(apart // 2 + 1):
            wrong = np.zeros((2, rows), dtype=int)
            wrong[:, rows * 4 // 5 :] = 1
            wrong[0, won:apart] = wrong[1, :won] = 1
            found = on_rows(metric("accuracy"), truth, np.eye(2)[wrong[0]], np.eye(2)[wrong[1]])
            both = int((wrong.sum(axis=0) == 2).sum())
            table: Any = mcnemar([[rows - apart - both, won], [apart - won, both]], exact=True)
            exact = table.pvalue
            assert found.value == pytest.approx((2 * won - apart) / rows)
            assert (shown(found.p, found.value) != 0) == (exact < 0.05)
            said.append(shown(found.p, found.value))
    assert {*said} == {0, -1}


@pytest.mark.parametrize("name", ["auc", "balanced_accuracy", "brier", "accuracy", "log_loss"])
def test_a_score_and_a_comparison_stand_to_a_guess_in_the_same_way(name: str) -> None:
    """As the interval of the score does where the guess scores the same on any rows."""
    chosen, seen = metric(name), set[int]()
    card = ModelCard(algorithm="", task="classification", target="y", classes=[0, 1], features=[], dataset="", rows=60)
    for seed in range(25):
        draw = np.random.default_rng(seed)
        truth = draw.integers(0, 2, 60)
        one, guess = shares(draw.normal(size=60) + 0.55 * truth), np.tile([0.51, 0.49], (60, 1))
        found = estimated(chosen, card, Answers(truth, one, guess))
        against = on_rows(chosen, truth, one, guess)
        side = shown(against.p, against.value if chosen.direction == "maximize" else -against.value)
        assert AGAINST_BASELINE[side] == found.verdict
        assert found.interval is not None
        if chosen.settled:
            assert side == int(found.interval[0] > 0.5) - int(found.interval[1] < 0.5)
        seen.add(side)
    assert len(seen) > 1
