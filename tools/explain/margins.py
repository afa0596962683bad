"""SHAP values of a fitted estimator on its encoded columns, by the method that fits it.

XGBoost and LightGBM compute TreeSHAP themselves (`pred_contribs`, `pred_contrib`), bit for bit what
shap.TreeExplainer gives, without importing it. Other trees go through shap.TreeExplainer, linear models
through the closed form of shap.LinearExplainer: coefficient times distance from the background mean.
Lundberg et al., "From local explanations to global understanding with explainable AI for trees", 2020.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ..errors import ToolFailure
from ..modeling.algorithms import Algorithm
from ..modeling.card import ModelCard

if TYPE_CHECKING:
    import numpy as np


# What the libraries raise for models that they cannot explain, e.g. linear trees.
REFUSALS = {
    "xgboost": ("xgboost.core", "XGBoostError"),
    "lightgbm": ("lightgbm.basic", "LightGBMError"),
    "catboost": ("catboost", "CatBoostError"),
    "sklearn": ("shap.utils._exceptions", "InvalidModelError"),
}


@dataclass(frozen=True)
class Margins:
    """`values` (rows, encoded columns, outputs) and `base` (outputs,) add up to `raw` (rows, outputs).

    Of two classes there is one output, the margin of the second, unless the model averages probabilities.
    """

    values: np.ndarray
    base: np.ndarray
    raw: np.ndarray
    explainer: str


def margins(model: Any, entry: Algorithm, card: ModelCard, columns: Any, background: Any) -> Margins:
    """Contributions of each encoded column; the background is only used by linear models.

    Raises:
        ToolFailure: the library cannot explain this kind of model.
    """
    with _refused(entry):
        return _margins(model, entry, card, columns, background)


def _margins(model: Any, entry: Algorithm, card: ModelCard, columns: Any, background: Any) -> Margins:
    if entry.explainer == "linear":
        return _linear(model, columns, background)
    if entry.library == "xgboost":
        return _xgboost(model, columns)
    if entry.library == "catboost":
        return _catboost(model, columns)
    if entry.library == "lightgbm":
        return _lightgbm(model, columns)
    return _tree(model, columns, card)


def pair_values(model: Any, entry: Algorithm, columns: Any) -> np.ndarray:
    """SHAP interaction values of a tree model, shape (rows, encoded columns, encoded columns, outputs).

    Raises:
        ToolFailure: the library cannot explain this kind of model.
    """
    with _refused(entry):
        return _pair_values(model, entry, columns)


@contextmanager
def _refused(entry: Algorithm) -> Generator[None]:
    module, name = REFUSALS[entry.library]
    try:
        yield
    except getattr(import_module(module), name) as error:
        text = (str(error).strip().splitlines() or [""])[0][:200]
        raise ToolFailure(
            f"this {entry.name} cannot be explained with its parameters: {text}", "Train it without them."
        ) from error


def _pair_values(model: Any, entry: Algorithm, columns: Any) -> np.ndarray:
    import numpy as np

    if entry.library == "xgboost":
        found = model.get_booster().predict(
            _matrix(model, columns), pred_interactions=True, iteration_range=_rounds(model)
        )
        return _last(found, 3)[:, :-1, :-1]
    if entry.library == "catboost":
        found = model.get_feature_importance(_pool(model, columns), type="ShapInteractionValues")
        return _last(found, 3)[:, :-1, :-1]
    import shap

    found = np.asarray(shap.TreeExplainer(model).shap_interaction_values(columns), dtype=np.float64)
    return found if found.ndim == 4 else found[..., None]


def _xgboost(model: Any, columns: Any) -> Margins:
    booster, matrix, rounds = model.get_booster(), _matrix(model, columns), _rounds(model)
    every = _last(booster.predict(matrix, pred_contribs=True, iteration_range=rounds), 2)
    margin = booster.predict(matrix, output_margin=True, iteration_range=rounds)
    return _split(every, margin, "TreeSHAP (xgboost pred_contribs)")


def _rounds(model: Any) -> tuple[int, int]:
    """The trees that the model answers with: up to the best one, if it was fitted until it got no better; else all."""
    try:
        return (0, int(model.best_iteration) + 1)
    except AttributeError:
        return (0, 0)


def _lightgbm(model: Any, columns: Any) -> Margins:
    import numpy as np

    margin = np.asarray(model.booster_.predict(columns, raw_score=True), dtype=np.float64).reshape(len(columns), -1)
    every = np.asarray(model.booster_.predict(columns, pred_contrib=True), dtype=np.float64)
    per_output = every.reshape(len(columns), margin.shape[1], -1)
    return _split(per_output.transpose(0, 2, 1), margin, "TreeSHAP (lightgbm pred_contrib)")


def _catboost(model: Any, columns: Any) -> Margins:
    rows = _pool(model, columns)
    every = _last(model.get_feature_importance(rows, type="ShapValues"), 2)
    margin = model.predict(rows, prediction_type="RawFormulaVal")
    return _split(every, margin, "TreeSHAP (catboost ShapValues)")


def _split(every: np.ndarray, margin: Any, explainer: str) -> Margins:
    """The libraries put the base value behind the contributions of a row."""
    import numpy as np

    raw = np.asarray(margin, dtype=np.float64).reshape(len(every), -1)
    return Margins(every[:, :-1], every[0, -1], raw, explainer)


def _last(found: Any, axes: int) -> np.ndarray:
    """With the outputs last: the libraries put them behind the rows, and leave them out if there is one."""
    import numpy as np

    values = np.asarray(found, dtype=np.float64)
    return np.moveaxis(values, 1, -1) if values.ndim > axes else values[..., None]


def _matrix(model: Any, columns: Any) -> Any:
    import xgboost

    kinds = model.feature_types
    return xgboost.DMatrix(columns, feature_types=kinds, enable_categorical=kinds is not None)


def _pool(model: Any, columns: Any) -> Any:
    """The rows as CatBoost takes them. It is an extra that type checkers may not find, so it is imported by name."""
    return import_module("catboost").Pool(columns, cat_features=model.get_cat_feature_indices())


def _tree(model: Any, columns: Any, card: ModelCard) -> Margins:
    import numpy as np
    import shap

    explainer = shap.TreeExplainer(model)
    values = np.asarray(explainer.shap_values(columns), dtype=np.float64)
    base = np.atleast_1d(np.asarray(explainer.expected_value, dtype=np.float64))
    raw = np.asarray(_raw_of_tree(model, columns, card), dtype=np.float64).reshape(len(values), -1)
    return Margins(values if values.ndim == 3 else values[..., None], base, raw, "shap.TreeExplainer")


def _raw_of_tree(model: Any, columns: Any, card: ModelCard) -> Any:
    """What shap explains: the sum of boosted trees, the mean of a forest's probabilities or numbers."""
    import numpy as np

    if card.task == "classification":
        return model.decision_function(columns) if hasattr(model, "decision_function") else model.predict_proba(columns)
    answers = model.predict(columns)
    return np.log(answers) if getattr(model, "loss", "") in ("poisson", "gamma") else answers


def _linear(model: Any, columns: Any, background: Any) -> Margins:
    import numpy as np

    rows, behind = np.asarray(columns, dtype=np.float64), np.asarray(background, dtype=np.float64)
    weights, offsets = np.atleast_2d(model.coef_), np.atleast_1d(model.intercept_)
    mean = behind.mean(axis=0)
    values = (rows - mean)[:, :, None] * weights.T[None]
    return Margins(values, weights @ mean + offsets, rows @ weights.T + offsets, "shap.LinearExplainer (closed form)")
