"""The algorithms by name: how each is built, what it was found to start well with, and where to search."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Literal

from ..errors import ToolFailure, unknown
from .card import Task

Encoding = Literal["ordinal", "onehot"]
Explainer = Literal["tree", "linear", "none"]
Parameters = Mapping[str, Any]

RESERVED = ("random_state", "n_jobs", "verbose", "verbosity")


@dataclass(frozen=True)
class Algorithm:
    """One entry of the registry. `estimators` names the class for each task that the algorithm can do."""

    name: str
    library: str
    estimators: Mapping[Task, str]
    encoding: Encoding
    explainer: Explainer
    defaults: Parameters = field(default_factory=dict)
    space: Parameters = field(default_factory=dict)
    seeded: bool = True
    threaded: bool = True


XGBOOST_SPACE = {
    "n_estimators": [100, 600],
    "max_depth": [3, 10],
    "learning_rate": {"low": 0.01, "high": 0.3, "log": True},
    "subsample": [0.6, 1.0],
    "colsample_bytree": [0.6, 1.0],
    "min_child_weight": {"low": 0.5, "high": 20.0, "log": True},
    "reg_lambda": {"low": 0.01, "high": 10.0, "log": True},
}
LIGHTGBM_SPACE = {
    "n_estimators": [100, 600],
    "num_leaves": [8, 128],
    "learning_rate": {"low": 0.01, "high": 0.3, "log": True},
    "subsample": [0.6, 1.0],
    "colsample_bytree": [0.6, 1.0],
    "min_child_samples": [5, 100],
    "reg_lambda": {"low": 0.01, "high": 10.0, "log": True},
}
FOREST_SPACE = {
    "n_estimators": [100, 500],
    "max_depth": [4, 24],
    "min_samples_leaf": [1, 20],
    "max_features": [0.2, 1.0],
}
HISTOGRAM_SPACE = {
    "max_iter": [100, 500],
    "learning_rate": {"low": 0.01, "high": 0.3, "log": True},
    "max_leaf_nodes": [8, 128],
    "min_samples_leaf": [5, 100],
    "l2_regularization": {"low": 1e-4, "high": 10.0, "log": True},
}
ALPHA_SPACE = {"alpha": {"low": 1e-4, "high": 100.0, "log": True}}

ALGORITHMS = (
    Algorithm(
        "XGBoost", "xgboost",
        {"classification": "xgboost.XGBClassifier", "regression": "xgboost.XGBRegressor"},
        "ordinal", "tree",
        {"n_estimators": 300, "max_depth": 6, "learning_rate": 0.1, "subsample": 0.9, "colsample_bytree": 0.9},
        XGBOOST_SPACE,
    ),
    Algorithm(
        "LightGBM", "lightgbm",
        {"classification": "lightgbm.LGBMClassifier", "regression": "lightgbm.LGBMRegressor"},
        "ordinal", "tree",
        {"n_estimators": 300, "learning_rate": 0.05, "num_leaves": 31, "subsample_freq": 1},
        LIGHTGBM_SPACE,
    ),
    Algorithm(
        "RandomForest", "sklearn",
        {
            "classification": "sklearn.ensemble.RandomForestClassifier",
            "regression": "sklearn.ensemble.RandomForestRegressor",
        },
        "onehot", "tree", {"n_estimators": 300, "min_samples_leaf": 2}, FOREST_SPACE,
    ),
    Algorithm(
        "HistGradientBoosting", "sklearn",
        {
            "classification": "sklearn.ensemble.HistGradientBoostingClassifier",
            "regression": "sklearn.ensemble.HistGradientBoostingRegressor",
        },
        "ordinal", "tree", {"max_iter": 200}, HISTOGRAM_SPACE, threaded=False,
    ),
    Algorithm(
        "LogisticRegression", "sklearn", {"classification": "sklearn.linear_model.LogisticRegression"},
        "onehot", "linear", {"max_iter": 1000}, {"C": {"low": 1e-3, "high": 100.0, "log": True}}, threaded=False,
    ),
    Algorithm(
        "LinearRegression", "sklearn", {"regression": "sklearn.linear_model.LinearRegression"},
        "onehot", "linear", {}, {"fit_intercept": [True, False]}, seeded=False,
    ),
    Algorithm(
        "Ridge", "sklearn", {"regression": "sklearn.linear_model.Ridge"},
        "onehot", "linear", {}, ALPHA_SPACE, threaded=False,
    ),
    Algorithm(
        "Lasso", "sklearn", {"regression": "sklearn.linear_model.Lasso"},
        "onehot", "linear", {"alpha": 0.01, "max_iter": 5000}, ALPHA_SPACE, threaded=False,
    ),
)  # fmt: skip


def algorithm(name: str, task: Task | None = None) -> Algorithm:
    """An algorithm by name, in any case.

    Raises:
        ToolFailure: there is none of that name, or it cannot do the task.
    """
    found = next((entry for entry in ALGORITHMS if entry.name.lower() == name.lower()), None)
    if found is None:
        raise unknown("algorithm", name, (entry.name for entry in ALGORITHMS), "list_algorithms tells more.", limit=20)
    if task and task not in found.estimators:
        able = ", ".join(entry.name for entry in ALGORITHMS if task in entry.estimators)
        raise ToolFailure(f"{found.name} cannot do {task}", f"These can: {able}.")
    return found


def estimator(entry: Algorithm, task: Task, params: Parameters, seed: int, threads: int) -> Any:
    """An unfitted estimator with the algorithm's defaults, overridden by `params`.

    Raises:
        ToolFailure: a parameter the estimator does not have: XGBoost and LightGBM would ignore it in silence.
    """
    module, _, name = entry.estimators[task].rpartition(".")
    make = getattr(import_module(module), name)
    valid = make().get_params()
    for parameter in params:
        if parameter in RESERVED:
            raise ToolFailure(f"{parameter} is set by the server", "Use `seed`, or leave it out.")
        if parameter not in valid:
            raise unknown(f"parameter of {entry.name}", parameter, valid)
    options = dict(entry.defaults) | ({"random_state": seed} if entry.seeded else {})
    options |= {"n_jobs": threads} if entry.threaded else {}
    options |= {"verbose": -1} if entry.library == "lightgbm" else {}
    return make(**options | dict(params))
