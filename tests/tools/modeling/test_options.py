"""Parameters name columns and classes, and nothing that a library would ignore reaches it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.modeling.card import Feature, Label, ModelCard, Task
from mlops_mcp.tools.modeling.frame import design
from mlops_mcp.tools.modeling.pipelines import fit, scores

DRAW = np.random.default_rng(0)
FRAME = pd.DataFrame({"up": DRAW.normal(size=400), "kind": DRAW.choice(["u", "v"], 400), "down": DRAW.normal(size=400)})
AMOUNT = (FRAME["up"] - FRAME["down"] + DRAW.normal(size=400)).to_numpy()


def card(algorithm: str, task: Task, params: dict[str, Any], classes: list[Label] | None = None) -> ModelCard:
    kinds: dict[str, Any] = {"up": "number", "kind": "category", "down": "number"}
    return ModelCard(
        algorithm=algorithm, task=task, target="y", classes=classes or ([] if task == "regression" else ["no", "yes"]),
        features=[Feature(name=name, kind=kind) for name, kind in kinds.items()], params=params, dataset="d", rows=400,
    )  # fmt: skip


def fitted(made: ModelCard) -> Any:
    target = AMOUNT if made.task == "regression" else np.digitize(AMOUNT, [0, 1][: len(made.classes) - 1])
    return fit(made, design(FRAME, made), target, 1)


def slopes(made: ModelCard, column: str) -> np.ndarray:
    """How the answers for some rows change along a column."""
    model, grid = fitted(made), np.linspace(-2, 2, 40)
    rows = [scores(model, design(FRAME.head(20).assign(**{column: value}), made), made) for value in grid]
    return np.diff(np.array(rows), axis=0)


@pytest.mark.parametrize(
    ("algorithm", "name"),
    [
        ("XGBoost", "monotone_constraints"),
        ("LightGBM", "monotone_constraints"),
        ("HistGradientBoosting", "monotonic_cst"),
    ],
)
@pytest.mark.parametrize("value", [{"up": -1, "down": 1}, [-1, 0, 1]], ids=["by name", "in the order of features"])
def test_a_constraint_holds_for_the_column_it_names(algorithm: str, name: str, value: object) -> None:
    made = card(algorithm, "regression", {name: value})
    assert (slopes(made, "up") <= 1e-9).all()
    assert (slopes(made, "down") >= -1e-9).all()


@pytest.mark.parametrize(
    ("algorithm", "name"),
    [
        ("XGBoost", "interaction_constraints"),
        ("LightGBM", "interaction_constraints"),
        ("HistGradientBoosting", "interaction_cst"),
    ],
)
def test_columns_that_may_not_interact_add_up(algorithm: str, name: str) -> None:
    made = card(algorithm, "regression", {name: [["up"], ["down"], ["kind"]]})
    model, row = fitted(made), FRAME.head(1)

    def at(up: float, down: float) -> float:
        return float(scores(model, design(row.assign(up=up, down=down), made), made)[0])

    assert at(1, 1) - at(-1, 1) == pytest.approx(at(1, -1) - at(-1, -1), abs=1e-4)


@pytest.mark.parametrize("algorithm", ["LogisticRegression", "RandomForest", "LightGBM", "HistGradientBoosting"])
def test_the_weight_of_a_class_is_given_by_its_label(algorithm: str) -> None:
    def mean(weights: dict[str, float]) -> float:
        made = card(algorithm, "classification", {"class_weight": weights})
        return float(scores(fitted(made), design(FRAME, made), made)[:, 1].mean())

    assert mean({"yes": 10}) > mean({}) + 0.05
    assert mean({"no": 10}) < mean({}) - 0.05


@pytest.mark.parametrize(
    ("algorithm", "task", "params", "says"),
    [
        ("XGBoost", "regression", {"monotone_constraints": {"upp": 1}}, "Did you mean up"),
        ("XGBoost", "regression", {"monotone_constraints": {"kind": 1}}, "is a category"),
        ("XGBoost", "regression", {"monotone_constraints": {"up": 2}}, "-1, 0 or 1"),
        ("XGBoost", "regression", {"monotone_constraints": "(1,0,0)"}, "Name the columns"),
        ("XGBoost", "regression", {"monotone_constraints": [1]}, "Name the columns"),
        ("XGBoost", "regression", {"interaction_constraints": [[0, 1]]}, "unknown feature"),
        ("RandomForest", "regression", {"monotonic_cst": {"up": 1}}, "HistGradientBoosting"),
        ("XGBoost", "regression", {"feature_types": ["q"]}, "set by the server"),
        ("HistGradientBoosting", "regression", {"categorical_features": [0]}, "set by the server"),
        ("LogisticRegression", "classification", {"class_weight": {"maybe": 2}}, "unknown class"),
        ("XGBoost", "classification", {"objective": "count:poisson"}, "taken as two classes"),
        ("XGBoost", "classification", {"objective": "reg:squarederror"}, "It takes binary:logistic"),
        ("XGBoost", "regression", {"objective": "binary:logistic"}, "taken as quantities"),
        ("LightGBM", "classification", {"objective": "poisson"}, "taken as two classes"),
        ("LightGBM", "regression", {"scale_pos_weight": 3}, "two classes only"),
    ],
)
def test_a_parameter_that_would_be_misread_or_ignored_is_refused(
    algorithm: str, task: Task, params: dict[str, Any], says: str
) -> None:
    with pytest.raises(ToolFailure, match=says):
        fitted(card(algorithm, task, params))


@pytest.mark.parametrize("objective", ["reg:absoluteerror", "count:poisson", "reg:quantileerror"])
def test_an_objective_that_fits_the_task_is_the_one_that_is_fitted(objective: str) -> None:
    import json

    params = {"objective": objective} | ({"quantile_alpha": 0.5} if "quantile" in objective else {})
    made = card("XGBoost", "regression", params)
    model: Any = fit(made, design(FRAME, made), np.exp(AMOUNT), 1)[-1]
    assert json.loads(model.get_booster().save_config())["learner"]["objective"]["name"] == objective


@pytest.mark.parametrize("algorithm", ["XGBoost", "LightGBM"])
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_a_fit_ends_early_by_rows_that_it_holds_out(algorithm: str, task: Task) -> None:
    params = {"n_estimators": 400, "early_stopping_rounds": 5, "learning_rate": 0.3}
    model = fitted(card(algorithm, task, params))[-1]
    best = model.best_iteration if algorithm == "XGBoost" else model.best_iteration_
    assert 0 < best < 300


@pytest.mark.parametrize(
    "algorithm", ["XGBoost", "LightGBM", "RandomForest", "HistGradientBoosting", "LogisticRegression"]
)
def test_the_same_seed_gives_the_same_bits_whatever_the_threads(algorithm: str) -> None:
    made = card(algorithm, "classification", {})
    rows, target = design(FRAME, made), (AMOUNT > 0).astype(int)
    first, second, third = (scores(fit(made, rows, target, threads), rows, made) for threads in (2, 2, 1))
    assert np.array_equal(first, second)
    assert np.array_equal(first, third)


def test_the_penalty_of_a_lasso_counts_in_the_spread_of_the_target() -> None:
    from sklearn.linear_model import Lasso
    from sklearn.preprocessing import StandardScaler

    made = card("Lasso", "regression", {}).model_copy(update={"features": [Feature(name="up", kind="number")]})
    for size in (1e-6, 1.0, 1e6):
        target = AMOUNT * size
        found = scores(fit(made, design(FRAME, made), target, 1), design(FRAME, made), made)
        spread = (target - target.mean()) / target.std()
        columns = StandardScaler().fit_transform(FRAME[["up"]].to_numpy())
        expected = Lasso(alpha=0.01).fit(columns, spread).predict(columns)
        assert found == pytest.approx(expected * target.std() + target.mean(), rel=1e-6, abs=size * 1e-6)
