"""A pipeline from the columns of a dataset to predictions: preprocessing by name, then the estimator."""

from __future__ import annotations

import math
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import ToolFailure
from .algorithms import Algorithm, algorithm, check_parameters, estimator
from .card import ModelCard
from .graph import Graph
from .options import settled

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from sklearn.pipeline import Pipeline

# Levels in fewer rows than this share of all, and than this number, share one column.
RARE_SHARE, RARE_ROWS = 0.01, 20
# What is held out of a fit that ends early.
STOPPING_SHARE = 0.1
# The category CatBoost sees for a missing one; it takes no NaN there.
NO_CATEGORY = "__missing__"
# Cells from which threads take no longer to wake than to work alone (measured on two cores).
WORTH_THREADS = 50_000


def build(card: ModelCard, threads: int) -> Pipeline:
    """An unfitted scikit-learn Pipeline with the steps `pre` and `model`.

    Trees get categories as ordinal codes with NaN for missing or unseen ones, since XGBoost would score an
    unseen category as another one; CatBoost gets them as text. Linear models get one-hot columns, imputed and
    scaled numbers.
    """
    from sklearn.pipeline import Pipeline

    entry = algorithm(card.algorithm, card.task)
    return Pipeline([("pre", _encoder(entry, card)), ("model", _unfitted(entry, card, threads))])


def _unfitted(entry: Algorithm, card: ModelCard, threads: int) -> Any:
    check_parameters(entry, card.task, card.params)
    made = _native_options(entry, card)
    return estimator(entry, card.task, settled(entry, card), card.seed, threads, made)


def _encoder(entry: Algorithm, card: ModelCard) -> Any:
    if entry.encoding == "ordinal":
        return _ordinal(card)
    return _filled(card) if entry.encoding == "filled" else onehot(card, scale=entry.explainer == "linear")


@dataclass(frozen=True)
class Encoded:
    """Rows as an estimator takes them, whatever its parameters. `cells` counts those of the features before."""

    encoder: Any
    columns: Any
    target: np.ndarray
    cells: int


def encode(card: ModelCard, features: pd.DataFrame, target: np.ndarray) -> Encoded:
    """The rows of a fit, for as many models as there are to fit on them.

    Raises:
        ToolFailure: the encoder refused the data.
    """
    with _fitting(card):
        encoder = _encoder(algorithm(card.algorithm, card.task), card)
        return Encoded(encoder, encoder.fit_transform(features, target), target, features.size)


def fit_encoded(card: ModelCard, rows: Encoded, threads: int) -> Any:
    """The model of a pipeline, which ends when it has done what it was told; the same seed gives the same bits.

    Raises:
        ToolFailure: the estimator refused a parameter value or the data.
    """
    entry = algorithm(card.algorithm, card.task)
    with _fitting(card):
        model = _in_units_of_target(_unfitted(entry, card, _worth(threads, rows.cells)), entry, rows.target)
        model.fit(rows.columns, rows.target, **_categories_at_fit(entry, card))
    return _summed_in_order(model, entry)


def ends_early(card: ModelCard) -> bool:
    """Whether a fit holds out rows that say when it ends."""
    return any(card.params.get(name) for name in algorithm(card.algorithm).stops_early)


def fit(
    card: ModelCard, features: pd.DataFrame, target: np.ndarray, threads: int, units: np.ndarray | None = None
) -> Pipeline:
    """Build and fit; the same seed gives the same bits.

    Args:
        units: which rows belong together, as whole numbers; a fit that ends early holds out whole units.

    Raises:
        ToolFailure: the estimator refused a parameter value or the data.
    """
    from sklearn.pipeline import Pipeline

    if not ends_early(card):
        rows = encode(card, features, target)
        return Pipeline([("pre", rows.encoder), ("model", fit_encoded(card, rows, threads))])
    entry = algorithm(card.algorithm)
    with _fitting(card):
        pipeline = build(card, _worth(threads, features.size))
        _in_units_of_target(pipeline[-1], entry, target)
        _fit_until_no_better(pipeline, entry, card, features, target, units)
    _summed_in_order(pipeline[-1], entry)
    return pipeline


def _worth(threads: int, cells: int) -> int:
    return threads if cells >= WORTH_THREADS else 1


@contextmanager
def _fitting(card: ModelCard) -> Generator[None]:
    import warnings

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except refusals() as error:
        text = str(error).strip().splitlines()
        raise ToolFailure(
            f"{card.algorithm} refused to fit: {text[0][:300] if text else type(error).__name__}",
            "Change or leave out the parameter, or the rows, that it names; list_algorithms tells the defaults.",
        ) from error


def _summed_in_order(model: Any, entry: Algorithm) -> Any:
    """The threads of a forest add up its trees in the order they finish, which changes the last digit."""
    if entry.library == "sklearn" and entry.threaded:
        model.set_params(n_jobs=1)
    return model


def _in_units_of_target(model: Any, entry: Algorithm, target: np.ndarray) -> Any:
    model.set_params(**{name: getattr(model, name) * float(target.std()) for name in entry.in_spreads})
    return model


def _fit_until_no_better(
    pipeline: Pipeline,
    entry: Algorithm,
    card: ModelCard,
    features: pd.DataFrame,
    target: np.ndarray,
    units: np.ndarray | None,
) -> None:
    """Fit on most rows until the score on the others no longer gets better."""
    fitted, held = held_out(card, target, units)
    encoder, model = pipeline[0], pipeline[-1]
    columns = encoder.fit_transform(features.iloc[fitted])
    rest = encoder.transform(features.iloc[held])
    extra = _categories_at_fit(entry, card)
    extra |= {"verbose": False} if entry.library == "xgboost" else {}
    model.fit(columns, target[fitted], eval_set=[(rest, target[held])], **extra)


def held_out(card: ModelCard, target: np.ndarray, units: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """The rows to fit on, and those that say when to stop."""
    import numpy as np
    from sklearn.model_selection import GroupShuffleSplit, ShuffleSplit, StratifiedShuffleSplit

    smallest = np.unique(target, return_counts=True)[1].min() if card.task == "classification" else 0
    kind: Any = StratifiedShuffleSplit if smallest >= 1 / STOPPING_SHARE else ShuffleSplit
    kind = kind if units is None else GroupShuffleSplit
    cut = kind(1, test_size=STOPPING_SHARE, random_state=card.seed)
    fitted, held = next(cut.split(target, target, units))
    return fitted, held


def _categories_at_fit(entry: Algorithm, card: ModelCard) -> dict[str, Any]:
    """How LightGBM and CatBoost are told which columns are categories; XGBoost is told when it is made."""
    if not card.categories:
        return {}
    if entry.library == "lightgbm":
        return {"categorical_feature": list(range(len(card.categories)))}
    return {"cat_features": card.categories} if entry.library == "catboost" else {}


def scores(pipeline: Any, features: Any, card: ModelCard) -> np.ndarray:
    """Probabilities of shape (rows, classes), or predicted numbers of shape (rows,).

    Of a pipeline and features, or of its model and what its encoder makes of them.
    """
    import numpy as np

    predict = pipeline.predict_proba if card.task == "classification" else pipeline.predict
    try:
        return np.asarray(predict(features), dtype=np.float64)
    except ValueError as error:
        if not isinstance(pipeline, Graph):
            raise
        raise ToolFailure(f"the graph cannot answer these rows: {error}", "Export it again, or pass others.") from error


def refusals() -> tuple[type[Exception], ...]:
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


def onehot(card: ModelCard, scale: bool, rare: int | None = None) -> Any:
    """Unfitted one-hot columns of the categories beside the numbers, imputed and, for linear models, scaled.

    Args:
        rare: levels in fewer rows share one column; None for `rare_below`.
    """
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import MissingIndicator, SimpleImputer
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    steps: list[tuple[str, Any]] = [("impute", SimpleImputer(strategy="median", keep_empty_features=True))]
    if scale:
        steps.append(("scale", StandardScaler()))
    # One encoder a column, and no names of columns: a missing level and the text "nan" would have the same.
    encoders = [
        (
            f"category {index}",
            OneHotEncoder(
                handle_unknown="infrequent_if_exist", min_frequency=rare or rare_below(card.rows), sparse_output=False
            ),
            [name],
        )
        for index, name in enumerate(card.categories)
    ]
    return ColumnTransformer(
        [
            ("number", Pipeline(steps), card.numbers),
            ("missing", MissingIndicator(error_on_new=False), card.numbers),
            *encoders,
        ]
    )


def rare_below(rows: int) -> int:
    """Levels in fewer rows than this share one column, which is also where a level unseen in training goes."""
    return max(1, min(RARE_ROWS, math.ceil(rows * RARE_SHARE)))


def merged(encoder: Any) -> dict[str, list[str]]:
    """The levels of each category that share a column, from a fitted encoder of `onehot`."""
    return {
        str(column): [str(level) for level in levels]
        for _, fitted, columns in encoder.transformers_
        for column, levels in zip(columns, getattr(fitted, "infrequent_categories_", []), strict=False)
        if levels is not None
    }
