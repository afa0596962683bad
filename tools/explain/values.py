"""SHAP values of a pipeline by the method that fits its last step, folded back onto the source columns.

XGBoost and LightGBM compute TreeSHAP themselves (`pred_contribs`, `pred_contrib`), bit for bit what
shap.TreeExplainer gives, without importing it. Other trees go through shap.TreeExplainer, linear models
through the closed form of shap.LinearExplainer: coefficient times distance from the background mean.
Lundberg et al., "From local explanations to global understanding with explainable AI for trees", 2020.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ..errors import ToolFailure
from ..modeling.algorithms import algorithm
from ..modeling.card import ModelCard
from ..modeling.columns import sources

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from sklearn.pipeline import Pipeline

# XGBoost sums in single precision.
TOLERANCE = 1e-4


@dataclass(frozen=True)
class ShapValues:
    """`values` has shape (rows, source columns), `raw` (rows,) is the model's own answer in the same unit."""

    values: np.ndarray
    base: float
    raw: np.ndarray
    explainer: str
    output: str

    @property
    def additivity_error(self) -> float:
        """The largest distance between base + contributions and the model's answer over the rows."""
        import numpy as np

        return float(np.abs(self.base + self.values.sum(axis=1) - self.raw).max())


def shap_values(
    pipeline: Pipeline, card: ModelCard, features: pd.DataFrame, background: pd.DataFrame, label: int
) -> ShapValues:
    """Contributions of each source column to the score of class `label` (or to the predicted number).

    Args:
        features, background: designs with the columns of the card; the background is only used by linear models.

    Raises:
        ToolFailure: the contributions do not add up to the model's answer.
    """
    model, columns = pipeline[-1], pipeline[:-1].transform(features)
    entry = algorithm(card.algorithm)
    if entry.explainer == "linear":
        values, base, raw = _linear(model, columns, pipeline[:-1].transform(background), card, label)
        name, output = "shap.LinearExplainer (closed form)", _margin(card)
    elif entry.library == "xgboost":
        values, base, raw = _xgboost(model, columns, card, label)
        name, output = "TreeSHAP (xgboost pred_contribs)", _margin(card)
    elif entry.library == "catboost":
        values, base, raw = _catboost(model, columns, card, label)
        name, output = "TreeSHAP (catboost ShapValues)", _margin(card)
    elif entry.library == "lightgbm":
        values, base, raw = _lightgbm(model, columns, card, label)
        name, output = "TreeSHAP (lightgbm pred_contrib)", _margin(card)
    else:
        values, base, raw = _tree(model, columns, card, label)
        forest = entry.name == "RandomForest" and card.task == "classification"
        name, output = "shap.TreeExplainer", "probability" if forest else _margin(card)
    folded = fold(values, sources(pipeline[0], card), len(card.names))
    return checked(ShapValues(folded, base, raw, name, output))


def checked(found: ShapValues) -> ShapValues:
    """The values, if they add up to the model's answers."""
    if found.additivity_error > TOLERANCE * (1 + abs(found.raw).max()):
        raise ToolFailure(
            f"{found.explainer} does not explain this model: its contributions miss the answer by "
            f"{found.additivity_error:.3g}",
            "Train another algorithm, e.g. XGBoost, to explain it.",
        )
    return found


def interaction_values(pipeline: Pipeline, card: ModelCard, features: pd.DataFrame, label: int) -> np.ndarray:
    """SHAP interaction values of shape (rows, source columns, source columns), for tree models."""
    import numpy as np

    model: Any = pipeline[-1]
    columns = pipeline[:-1].transform(features)
    if algorithm(card.algorithm).library == "xgboost":
        import xgboost

        matrix = _matrix(model, columns)
        every = model.get_booster().predict(matrix, pred_interactions=True)
        assert isinstance(matrix, xgboost.DMatrix)
        values = np.asarray(every if every.ndim == 3 else every[:, label])[:, :-1, :-1]
    elif algorithm(card.algorithm).library == "catboost":
        values = _catboost_pairs(model, columns, card, label)
    else:
        import shap

        values = _of_label(np.asarray(shap.TreeExplainer(model).shap_interaction_values(columns)), 3, label)
    origins, width = sources(pipeline[0], card), len(card.names)
    rows = fold(values.reshape(-1, len(origins)), origins, width).reshape(len(columns), len(origins), -1)
    return fold(rows.transpose(0, 2, 1).reshape(-1, len(origins)), origins, width).reshape(len(columns), width, -1)


def _pool(columns: Any, card: ModelCard) -> Any:
    """The rows as CatBoost takes them. It is an extra that type checkers may not find, so it is imported by name."""
    return import_module("catboost").Pool(columns, cat_features=card.categories)


def _catboost_pairs(model: Any, columns: Any, card: ModelCard, label: int) -> np.ndarray:
    import numpy as np

    rows = _pool(columns, card)
    every = np.asarray(model.get_feature_importance(rows, type="ShapInteractionValues"), dtype=np.float64)
    return (every if every.ndim == 3 else every[:, label])[:, :-1, :-1]


def fold(values: np.ndarray, origins: Sequence[int], width: int) -> np.ndarray:
    """Sum the contributions of derived columns (one-hot, missing indicator) onto the columns they came from.

    Args:
        origins: for each derived column the position of its source, as `pipelines.sources` tells it.
    """
    import numpy as np

    folded = np.zeros((len(values), width))
    for column, origin in enumerate(origins):
        folded[:, origin] += values[:, column]
    return folded


def _margin(card: ModelCard) -> str:
    return "log-odds" if card.task == "classification" else card.target


def _matrix(model: Any, columns: Any) -> Any:
    import xgboost

    kinds = model.feature_types
    return xgboost.DMatrix(columns, feature_types=kinds, enable_categorical=kinds is not None)


def _xgboost(model: Any, columns: Any, card: ModelCard, label: int) -> tuple[np.ndarray, float, np.ndarray]:
    import numpy as np

    booster, matrix = model.get_booster(), _matrix(model, columns)
    every = np.asarray(booster.predict(matrix, pred_contribs=True), dtype=np.float64)
    margin = np.asarray(booster.predict(matrix, output_margin=True), dtype=np.float64)
    if every.ndim == 3:
        every, margin = every[:, label], margin[:, label]
    return _signed(every, margin, card, label)


def _lightgbm(model: Any, columns: Any, card: ModelCard, label: int) -> tuple[np.ndarray, float, np.ndarray]:
    import numpy as np

    every = np.asarray(model.booster_.predict(columns, pred_contrib=True), dtype=np.float64)
    margin = np.asarray(model.booster_.predict(columns, raw_score=True), dtype=np.float64)
    if margin.ndim == 2:
        every, margin = every.reshape(len(columns), margin.shape[1], -1)[:, label], margin[:, label]
    return _signed(every, margin, card, label)


def _catboost(model: Any, columns: Any, card: ModelCard, label: int) -> tuple[np.ndarray, float, np.ndarray]:
    import numpy as np

    rows = _pool(columns, card)
    every = np.asarray(model.get_feature_importance(rows, type="ShapValues"), dtype=np.float64)
    margin = np.asarray(model.predict(rows, prediction_type="RawFormulaVal"), dtype=np.float64)
    if every.ndim == 3:
        every, margin = every[:, label], margin[:, label]
    return _signed(every, margin, card, label)


def _signed(every: np.ndarray, margin: np.ndarray, card: ModelCard, label: int) -> tuple[np.ndarray, float, np.ndarray]:
    """Split off the base value; a binary margin is that of the second class, so the first has the opposite sign."""
    sign = -1.0 if card.binary and label == 0 else 1.0
    return sign * every[:, :-1], float(sign * every[0, -1]), sign * margin


def _tree(model: Any, columns: Any, card: ModelCard, label: int) -> tuple[np.ndarray, float, np.ndarray]:
    import numpy as np
    import shap

    explainer = shap.TreeExplainer(model)
    values = np.asarray(explainer.shap_values(columns), dtype=np.float64)
    base = np.atleast_1d(np.asarray(explainer.expected_value, dtype=np.float64))
    if card.task == "regression":
        return values, float(base[0]), np.asarray(model.predict(columns))
    if values.ndim == 3 and hasattr(model, "estimators_"):
        return values[:, :, label], float(base[label]), model.predict_proba(columns)[:, label]
    margin = model.decision_function(columns)
    if values.ndim == 3:
        return values[:, :, label], float(base[label]), margin[:, label]
    sign = -1.0 if label == 0 else 1.0
    return sign * values, float(sign * base[0]), sign * margin


def _linear(
    model: Any, columns: Any, background: pd.DataFrame, card: ModelCard, label: int
) -> tuple[np.ndarray, float, np.ndarray]:
    import numpy as np

    coefficients, intercepts = np.atleast_2d(model.coef_), np.atleast_1d(model.intercept_)
    row = label if len(coefficients) > 1 else 0
    sign = -1.0 if card.binary and label == 0 else 1.0
    weights, mean = sign * coefficients[row], background.to_numpy().mean(axis=0)
    offset = float(sign * intercepts[row if len(intercepts) > 1 else 0])
    raw = columns.to_numpy() @ weights + offset
    return (columns.to_numpy() - mean) * weights, float(mean @ weights + offset), raw


def _of_label(values: np.ndarray, binary_axes: int, label: int) -> np.ndarray:
    return values if values.ndim == binary_axes else values[..., label]
