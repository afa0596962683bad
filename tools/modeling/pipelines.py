"""A pipeline from the columns of a dataset to predictions: preprocessing by name, then the estimator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import ToolFailure
from .algorithms import Algorithm, algorithm, estimator
from .card import ModelCard

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from sklearn.pipeline import Pipeline

# Rarer categories share one column, so that a new rare value at prediction has a place to go.
MIN_CATEGORY_ROWS = 20
# The category CatBoost sees for a missing one; it takes no NaN there.
NO_CATEGORY = "__missing__"


def build(card: ModelCard, threads: int) -> Pipeline:
    """An unfitted scikit-learn Pipeline with the steps `pre` and `model`.

    Trees get categories as ordinal codes with NaN for missing or unseen ones, since XGBoost would score an
    unseen category as another one; CatBoost gets them as text. Linear models get one-hot columns, imputed and
    scaled numbers.
    """
    from sklearn.pipeline import Pipeline

    entry = algorithm(card.algorithm, card.task)
    model = estimator(entry, card.task, card.params, card.seed, threads, _native_options(entry, card))
    return Pipeline([("pre", _encoder(entry, card)), ("model", model)])


def _encoder(entry: Algorithm, card: ModelCard) -> Any:
    if entry.encoding == "ordinal":
        return _ordinal(card)
    return _filled(card) if entry.encoding == "filled" else onehot(card, scale=entry.explainer == "linear")


def fit(card: ModelCard, features: pd.DataFrame, target: np.ndarray, threads: int) -> Pipeline:
    """Build and fit.

    Raises:
        ToolFailure: the estimator refused a parameter value or the data.
    """
    import warnings

    entry = algorithm(card.algorithm)
    extra = _categories_at_fit(entry, card) if card.categories else {}
    try:
        pipeline = build(card, threads)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return pipeline.fit(features, target, **extra)
    except _refusals() as error:
        text = str(error).strip().splitlines()
        raise ToolFailure(
            f"{card.algorithm} refused to fit: {text[0][:300] if text else type(error).__name__}"
        ) from error


def _categories_at_fit(entry: Algorithm, card: ModelCard) -> dict[str, Any]:
    """How LightGBM and CatBoost are told which columns are categories; XGBoost is told when it is made."""
    if entry.library == "lightgbm":
        return {"model__categorical_feature": list(range(len(card.categories)))}
    return {"model__cat_features": card.categories} if entry.library == "catboost" else {}


def scores(pipeline: Pipeline, features: pd.DataFrame, card: ModelCard) -> np.ndarray:
    """Probabilities of shape (rows, classes), or predicted numbers of shape (rows,)."""
    import numpy as np

    predict = pipeline.predict_proba if card.task == "classification" else pipeline.predict
    return np.asarray(predict(features), dtype=np.float64)


def _refusals() -> tuple[type[Exception], ...]:
    from importlib import import_module
    from importlib.util import find_spec

    errors: list[type[Exception]] = [ValueError, TypeError]
    if find_spec("xgboost"):
        errors.append(import_module("xgboost").core.XGBoostError)
    if find_spec("lightgbm"):
        errors.append(import_module("lightgbm").basic.LightGBMError)
    if find_spec("catboost"):
        errors.append(import_module("catboost").CatBoostError)
    return tuple(errors)


def _native_options(entry: Algorithm, card: ModelCard) -> dict[str, Any]:
    """How XGBoost is told which columns are categories: their order is that of `_ordinal`.

    HistGradientBoosting takes the codes as numbers: shap explains its categorical splits wrongly.
    """
    if entry.library != "xgboost" or not card.categories:
        return {}
    kinds = ["c"] * len(card.categories) + ["q"] * len(card.numbers)
    return {"enable_categorical": True, "feature_types": kinds}


def _ordinal(card: ModelCard) -> Any:
    """Columns without names: XGBoost and LightGBM refuse some characters in them, and LightGBM renames others."""
    import numpy as np
    from sklearn.compose import ColumnTransformer
    from sklearn.preprocessing import OrdinalEncoder

    encoder = OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=np.nan, encoded_missing_value=np.nan, dtype=np.float64
    )
    return ColumnTransformer(
        [("category", encoder, card.categories), ("number", "passthrough", card.numbers)],
        verbose_feature_names_out=False,
    )


def _filled(card: ModelCard) -> Any:
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer

    fill = SimpleImputer(strategy="constant", fill_value=NO_CATEGORY, keep_empty_features=True)
    return ColumnTransformer(
        [("category", fill, card.categories), ("number", "passthrough", card.numbers)],
        verbose_feature_names_out=False,
    ).set_output(transform="pandas")


def onehot(card: ModelCard, scale: bool, rare: int = MIN_CATEGORY_ROWS) -> Any:
    """Unfitted one-hot columns of the categories beside the numbers, imputed and, for linear models, scaled.

    Args:
        rare: categories of fewer rows share one column.
    """
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    steps: list[tuple[str, Any]] = [
        ("impute", SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True))
    ]
    if scale:
        steps.append(("scale", StandardScaler()))
    encoder = OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=rare, sparse_output=False)
    return ColumnTransformer(
        [("number", Pipeline(steps), card.numbers), ("category", encoder, card.categories)],
        verbose_feature_names_out=False,
    ).set_output(transform="pandas")
