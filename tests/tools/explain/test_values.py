"""Contributions and interactions, held against shap, the closed form, and against each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.explain import values
from mlops_mcp.tools.explain.values import PairValues, mean_interactions

from .fitted import Fitted, fitted

SMALL = {"n_estimators": 12}


def rows(count: int = 160) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(count, 3)), columns=["a", "b", "c"])
    frame["kind"] = rng.choice(["u", "v", "w"], count, p=[0.5, 0.3, 0.2])
    return frame


def outcome(frame: pd.DataFrame) -> pd.Series:
    return frame["a"] * frame["b"] + frame["c"] + 2 * (frame["kind"] == "u")


def classes(frame: pd.DataFrame, count: int) -> pd.Series:
    return pd.Series(pd.qcut(outcome(frame), count, labels=False).map("c{}".format), dtype=object)


@pytest.mark.parametrize("algorithm", ["LinearRegression", "Ridge", "Lasso", "LogisticRegression"])
def test_a_linear_contribution_is_what_the_answer_gains_on_the_mean_over_the_background(algorithm: str) -> None:
    frame = rows()
    target = classes(frame, 3) if algorithm == "LogisticRegression" else outcome(frame)
    model = fitted(frame, target, algorithm)
    found = model.explained(rows=5)
    margin: Any = model.pipeline.decision_function if model.card.classes else model.pipeline.predict
    for place, name in enumerate(model.card.names):
        for row in range(5):
            replaced = pd.concat([model.features.iloc[[row]]] * len(frame)).assign(**{name: frame[name].to_numpy()})
            gained = margin(model.features.iloc[[row]])[0] - margin(replaced).mean(axis=0)
            assert np.allclose(found.values[row, place], gained, atol=1e-9)


@pytest.mark.parametrize("algorithm", ["XGBoost", "LightGBM", "RandomForest", "HistGradientBoosting"])
@pytest.mark.parametrize("count", [2, 3])
def test_the_contributions_to_every_class_are_those_of_shaps_tree_explainer(algorithm: str, count: int) -> None:
    import shap

    frame = rows()[["a", "b", "c"]]
    params = {"max_iter": 12} if algorithm == "HistGradientBoosting" else SMALL
    model = fitted(frame, classes(rows(), count), algorithm, **params)
    found = model.explained()
    expected = np.asarray(shap.TreeExplainer(model.model).shap_values(np.asarray(model.columns)[:40]))
    for label in range(count):
        theirs = expected[..., label] if expected.ndim == 3 else expected * (1 if label else -1)
        assert np.allclose(found.of(label).values[..., 0], theirs, atol=1e-5)


@pytest.mark.parametrize("algorithm", ["XGBoost", "RandomForest", "LogisticRegression", "LinearRegression"])
def test_a_category_whose_value_completes_the_name_of_another_column_keeps_its_contributions(algorithm: str) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"home_owner_age": rng.normal(size=300), "home": rng.choice(["owner_age_x", "rent"], 300)})
    decides = frame["home"] == "owner_age_x"
    numbers = algorithm == "LinearRegression"
    target = decides.astype(float) if numbers else pd.Series(np.where(decides, "yes", "no"), dtype=object)
    found = fitted(frame, target, algorithm, **(SMALL if algorithm in ("XGBoost", "RandomForest") else {})).explained()
    noise, home = np.abs(found.values[..., 0]).mean(axis=0)
    assert home > 20 * noise


def interactions(model: Fitted) -> PairValues:
    return mean_interactions(model.pipeline, model.card, model.features.head(40), model.explained())


@pytest.mark.parametrize("count", [0, 2, 3])
@pytest.mark.parametrize(
    ("algorithm", "columns"),
    [
        ("XGBoost", ["a", "b", "c"]),
        ("XGBoost", ["a", "b", "c", "kind"]),
        ("RandomForest", ["a", "b", "kind"]),
        ("LightGBM", ["a", "b", "c"]),
        ("HistGradientBoosting", ["a", "b", "c", "kind"]),
    ],
)
def test_interactions_add_up_to_the_contributions(algorithm: str, columns: list[str], count: int) -> None:
    target = classes(rows(), count) if count else outcome(rows())
    params = {"max_iter": 12} if algorithm == "HistGradientBoosting" else SMALL
    model = fitted(rows()[columns], target, algorithm, **params)
    found = interactions(model)
    assert found.additivity_error < 1e-4
    assert found.mean_abs.shape[:2] == (len(columns), len(columns))
    assert np.allclose(found.mean_abs, found.mean_abs.swapaxes(0, 1), atol=1e-5)


def test_interactions_are_those_of_shaps_tree_explainer_however_many_are_in_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import shap

    model = fitted(rows()[["a", "b", "c"]], classes(rows(), 3), "XGBoost", **SMALL)
    theirs = shap.TreeExplainer(model.model).shap_interaction_values(np.asarray(model.columns)[:40])
    expected = np.abs(np.asarray(theirs)).mean(axis=0)
    assert np.allclose(interactions(model).mean_abs, expected, atol=1e-5)
    monkeypatch.setattr(values, "PAIRS_AT_ONCE", 100)
    assert np.allclose(interactions(model).mean_abs, expected, atol=1e-5)


@pytest.mark.parametrize("count", [0, 2, 3])
def test_interactions_that_miss_the_contributions_are_refused(count: int) -> None:
    frame = rows(600)
    target = classes(frame, count) if count else outcome(frame)
    model = fitted(frame, target, "LightGBM", **SMALL)
    assert model.explained().additivity_error < 1e-9
    with pytest.raises(ToolFailure, match="splits on categories") as refused:
        interactions(model)
    assert "explain_model works" in str(refused.value)
