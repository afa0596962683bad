"""What a point must reach on its first parts to be scored on the others."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import optuna
import pytest

from mlops_mcp.tools.modeling.metrics import Direction
from mlops_mcp.tools.tuning.pruning import FEWEST, Bars, bars_of


def study_of(points: Iterable[Any], direction: Direction = "maximize") -> Any:
    study = optuna.create_study(direction=direction)
    for folds in points:
        trial = study.ask()
        for step in range(len(folds)):
            trial.report(float(np.mean(folds[: step + 1])), step)
        study.tell(trial, float(np.mean(folds)))
    return study


def drawn(count: int, seed: int, noise: float = 0.002) -> np.ndarray:
    """Scores of points on three parts, of which one is easier than the others for all of them."""
    draw = np.random.default_rng(seed)
    return 0.8 + draw.normal(0, 0.02, (count, 1)) + [0.03, 0.0, -0.01] + draw.normal(0, noise, (count, 3))


@pytest.mark.parametrize(
    ("points", "parts"), [([], 3), (drawn(FEWEST - 1, 0), 3), (drawn(20, 0)[:, :1], 1), (drawn(20, 0)[:, :2], 3)]
)
def test_nothing_is_given_up_before_it_is_known_how_the_parts_differ(points: Iterable[Any], parts: int) -> None:
    bars = bars_of(study_of(points), parts)
    assert bars == Bars(True)
    assert not bars.fails([-1e9])


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_what_would_have_been_the_best_is_hardly_ever_given_up_and_most_of_the_worst_is(direction: Direction) -> None:
    sign = 1 if direction == "maximize" else -1
    lost, saved, worst = 0, 0, 0
    for seed in range(40):
        known, new = drawn(12, seed), drawn(50, 1000 + seed)
        bars = bars_of(study_of(sign * known, direction), 3)
        best = known.mean(axis=1).max()
        given_up = np.array([bars.fails(list(sign * point[:1])) for point in new])
        lost += int((given_up & (new.mean(axis=1) > best)).sum())
        bad = new.mean(axis=1) < best - 0.03
        worst, saved = worst + int(bad.sum()), saved + int((given_up & bad).sum())
    assert lost <= 2
    assert saved > 0.9 * worst


def test_an_easy_first_part_is_no_merit() -> None:
    points = np.full((8, 3), [0.9, 0.7, 0.7]) + np.arange(8)[:, None] / 1000
    bars = bars_of(study_of(points), 3)
    assert bars.means == pytest.approx((0.907, 0.807))
    assert bars.fails([0.9])
    assert not bars.fails([0.91])


def test_a_point_that_has_been_scored_on_all_parts_is_not_given_up() -> None:
    assert not Bars(True, (0.5, 0.5)).fails([0.0, 0.0, 0.0])
