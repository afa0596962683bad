"""The unit and link of every objective, held against what the fitted model itself predicts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from lightgbm import LGBMClassifier, LGBMRegressor
from xgboost import XGBClassifier, XGBRegressor

from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.explain.links import answer_unit, link_of, unit_of
from mlops_mcp.tools.explain.values import checked, mean_interactions
from mlops_mcp.tools.modeling.algorithms import algorithm

from .fitted import Fitted, fitted

INVERSE: dict[str, Any] = {
    "identity": lambda margin: margin,
    "log": np.exp,
    "logit": lambda margin: 1 / (1 + np.exp(-margin)),
    "softmax": lambda margin: np.exp(margin) / np.exp(margin).sum(axis=1, keepdims=True),
}
SMALL = {
    "XGBoost": {"n_estimators": 8},
    "LightGBM": {"n_estimators": 8},
    "RandomForest": {"n_estimators": 8},
    "CatBoost": {"iterations": 8},
    "HistGradientBoosting": {"max_iter": 8},
}


def rows(count: int = 200) -> tuple[pd.DataFrame, pd.Series]:
    """Two numbers, a category, and a mean of a cost that is the exponential of a sum."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(count, 2)), columns=["a", "b"])
    frame["kind"] = rng.choice(["u", "v", "w"], count)
    return frame, np.exp(0.5 * frame["a"] + (frame["kind"] == "u") + 0.5)


def cost(name: str, objective: str = "", **params: object) -> Fitted:
    frame, mean = rows()
    target = {
        "share": mean / (1 + mean),
        "count": pd.Series(np.random.default_rng(1).poisson(mean).astype(float)),
    }.get("share" if "logistic" in objective else "count", mean)
    named = {"HistGradientBoosting": "loss", "CatBoost": "loss_function", "RandomForest": "criterion"}
    chosen = {named.get(name, "objective"): objective} if objective else {}
    return fitted(frame, target + (0.5 if "gamma" in objective else 0), name, **SMALL.get(name, {}), **chosen, **params)


def classes(name: str, count: int, **params: object) -> Fitted:
    frame, mean = rows()
    target = pd.Series(pd.qcut(mean, count, labels=[f"c{index}" for index in range(count)]).astype(str), dtype=object)
    return fitted(frame, target, name, **SMALL.get(name, {}), **params)


@pytest.mark.parametrize(
    ("name", "objective", "link", "unit"),
    [
        ("XGBoost", "", "identity", "cost"),
        ("XGBoost", "count:poisson", "log", "log of cost"),
        ("XGBoost", "reg:tweedie", "log", "log of cost"),
        ("XGBoost", "reg:gamma", "log", "log of cost"),
        ("XGBoost", "reg:logistic", "logit", "log-odds of cost"),
        ("XGBoost", "reg:absoluteerror", "identity", "cost"),
        ("XGBoost", "reg:squaredlogerror", "identity", "cost"),
        ("LightGBM", "", "identity", "cost"),
        ("LightGBM", "poisson", "log", "log of cost"),
        ("LightGBM", "gamma", "log", "log of cost"),
        ("LightGBM", "tweedie", "log", "log of cost"),
        ("LightGBM", "mape", "identity", "cost"),
        ("HistGradientBoosting", "squared_error", "identity", "cost"),
        ("HistGradientBoosting", "poisson", "log", "log of cost"),
        ("HistGradientBoosting", "gamma", "log", "log of cost"),
        ("HistGradientBoosting", "absolute_error", "identity", "cost"),
        ("RandomForest", "poisson", "identity", "cost"),
        ("Ridge", "", "identity", "cost"),
        ("CatBoost", "Poisson", "log", "log of cost"),
        ("CatBoost", "Tweedie:variance_power=1.5", "log", "log of cost"),
        ("CatBoost", "RMSE", "identity", "cost"),
    ],
)
def test_a_number_is_explained_in_the_unit_of_the_margin_beside_the_models_answer(
    name: str, objective: str, link: str, unit: str
) -> None:
    model = cost(name, objective)
    found = model.explained()
    assert (found.link.name, unit_of(found.link, model.card, None)) == (link, unit)
    assert answer_unit(model.card, None) == "cost"
    predicted = np.asarray(model.pipeline.predict(model.features.head(40)))
    assert np.allclose(found.answers[:, 0], predicted)
    margin = found.base + found.values.sum(axis=1)
    assert np.allclose(INVERSE[link](margin)[:, 0], predicted, rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "count", "params", "link", "unit"),
    [
        ("XGBoost", 2, {}, "logit", "log-odds of cost = c1"),
        ("XGBoost", 3, {}, "softmax", "softmax margin of cost = c1"),
        ("LightGBM", 2, {}, "logit", "log-odds of cost = c1"),
        ("LightGBM", 3, {}, "softmax", "softmax margin of cost = c1"),
        ("LightGBM", 3, {"objective": "multiclassova"}, "logit", "log-odds of cost = c1"),
        ("HistGradientBoosting", 2, {}, "logit", "log-odds of cost = c1"),
        ("HistGradientBoosting", 3, {}, "softmax", "softmax margin of cost = c1"),
        ("LogisticRegression", 2, {}, "logit", "log-odds of cost = c1"),
        ("LogisticRegression", 3, {}, "softmax", "softmax margin of cost = c1"),
        ("RandomForest", 2, {}, "identity", "probability of cost = c1"),
        ("RandomForest", 3, {}, "identity", "probability of cost = c1"),
    ],
)
def test_a_class_is_explained_in_the_unit_of_the_margin_beside_its_probability(
    name: str, count: int, params: dict[str, object], link: str, unit: str
) -> None:
    model = classes(name, count, **params)
    found = model.explained()
    assert (found.link.name, unit_of(found.link, model.card, "c1")) == (link, unit)
    assert answer_unit(model.card, "c1") == "probability of cost = c1"
    proba = np.asarray(model.pipeline.predict_proba(model.features.head(40)))
    margin = found.base + found.values.sum(axis=1)
    probability = INVERSE[link](margin)
    assert np.allclose(probability, proba[:, 1:] if found.mirrored else proba, atol=1e-5)
    for label in range(count):
        one = found.of(label)
        assert np.allclose(one.answers[:, 0], proba[:, label])
        assert np.allclose(one.base + one.values.sum(axis=1), one.raw, atol=1e-5)


@pytest.mark.parametrize(
    ("objective", "link", "unit"),
    [
        ({"objective": "cross_entropy"}, "logit", "log-odds of cost"),
        ({"objective": "cross_entropy_lambda"}, "other", "margin of cost (cross_entropy_lambda)"),
        ({"reg_sqrt": True}, "other", "margin of cost (regression sqrt)"),
    ],
)
def test_a_link_is_only_named_if_it_gives_the_models_answers(objective: dict[str, Any], link: str, unit: str) -> None:
    frame, mean = rows()
    shares = fitted(frame, mean / (1 + mean), "LightGBM", n_estimators=8)
    target = np.clip(shares.pipeline.predict(shares.features), 0.01, 0.99)
    model = shares.ending_in(LGBMRegressor(n_estimators=8, verbose=-1, **objective).fit(shares.columns, target))
    found = model.explained()
    assert (found.link.name, unit_of(found.link, model.card, None)) == (link, unit)
    assert np.allclose(found.answers[:, 0], np.asarray(model.pipeline.predict(model.features.head(40))))


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("LightGBM", LGBMClassifier(n_estimators=8, verbose=-1, sigmoid=2.0)),
        ("XGBoost", XGBClassifier(n_estimators=8, objective="binary:hinge")),
    ],
)
def test_a_margin_that_is_no_log_odds_is_not_called_so(name: str, model: Any) -> None:
    frame, mean = rows()
    halves = pd.Series(np.where(mean > mean.median(), "c1", "c0"), dtype=object)
    found = fitted(frame[["a", "b"]], halves, name, **SMALL[name]).refitted(model).explained()
    assert found.link.name == "other"


def test_a_model_that_stopped_early_is_explained_by_the_trees_it_answers_with() -> None:
    frame, mean = rows()
    plain = fitted(frame[["a", "b"]], mean, "XGBoost", n_estimators=8)
    columns, target = plain.columns, mean.to_numpy()
    early = XGBRegressor(n_estimators=200, learning_rate=0.5, early_stopping_rounds=5)
    early.fit(columns[:150], target[:150], eval_set=[(columns[150:], target[150:])], verbose=False)
    assert early.best_iteration + 1 < early.get_booster().num_boosted_rounds()
    model = plain.ending_in(early)
    found = model.explained()
    assert found.link.name == "identity"
    assert np.allclose(found.base + found.values.sum(axis=1), found.answers, atol=1e-4)
    assert np.allclose(found.answers[:, 0], early.predict(columns[:40]))
    assert mean_interactions(model.pipeline, model.card, model.features.head(40), found).additivity_error < 1e-4


def test_an_answer_that_does_not_rise_with_the_margin_is_refused() -> None:
    model, rng = cost("XGBoost").model, np.random.default_rng(0)
    with pytest.raises(ToolFailure, match="not what its answers are made from"):
        link_of(model, algorithm("XGBoost"), rng.normal(size=(20, 1)), rng.normal(size=(20, 1)))


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("LightGBM", LGBMRegressor(n_estimators=8, verbose=-1, linear_tree=True)),
        ("XGBoost", XGBRegressor(n_estimators=8, booster="gblinear")),
    ],
)
def test_what_the_library_cannot_explain_is_refused_in_words(name: str, model: Any) -> None:
    frame, mean = rows()
    other = fitted(frame[["a", "b"]], mean, name, n_estimators=8).refitted(model)
    with pytest.raises(ToolFailure, match=f"this {name} cannot be explained with its parameters"):
        mean_interactions(other.pipeline, other.card, other.features.head(9), other.explained(9))


def test_a_model_that_answers_a_row_with_several_numbers_is_refused() -> None:
    frame, mean = rows()
    two = XGBRegressor(n_estimators=8, objective="reg:quantileerror", quantile_alpha=[0.1, 0.9])
    with pytest.raises(ToolFailure, match="answers each row with 2 numbers"):
        fitted(frame[["a", "b"]], mean, "XGBoost", n_estimators=8).refitted(two).explained()


def test_a_target_in_millionths_is_checked_as_strictly_as_any_other() -> None:
    frame, mean = rows()
    found = fitted(frame, mean * 1e-6, "Ridge").explained()
    assert checked(found) is found
    with pytest.raises(ToolFailure, match="miss the answer"):
        checked(replace(found, values=found.values * 1.01))
