"""The parameters of a card in the terms of a library: columns by name, classes by label, nothing that it would ignore.

A library counts columns as they come out of the encoder and classes by position, neither of which the caller sees.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..errors import ToolFailure, unknown
from .algorithms import Algorithm
from .card import ModelCard
from .shipped import canonical

MONOTONE = ("monotone_constraints", "monotonic_cst")
TOGETHER = ("interaction_constraints", "interaction_cst")
BY_COLUMN = ("feature_weights", "feature_contri", "feature_penalty")
BY_CLASS = ("class_weight", "class_weights")
BY_TWO_CLASSES = ("scale_pos_weight", "is_unbalance", "unbalance")
BY_POSITION = ("feature_types", "categorical_features", "categorical_feature", "cat_features", "enable_categorical")
OBJECTIVES = ("objective", "loss_function", "app", "application", "loss")
# What each library fits as it is told; it would replace another one in silence, or give numbers that mean other things.
KNOWN_OBJECTIVES: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("xgboost", "two classes"): ("binary:logistic",),
    ("xgboost", "classes"): ("multi:softprob",),
    ("xgboost", "quantities"): (
        "reg:squarederror", "reg:squaredlogerror", "reg:pseudohubererror", "reg:absoluteerror", "reg:quantileerror",
        "reg:logistic", "reg:gamma", "reg:tweedie", "count:poisson",
    ),
    ("lightgbm", "two classes"): ("binary", "cross_entropy", "xentropy"),
    ("lightgbm", "classes"): ("multiclass", "softmax", "multiclassova", "ova"),
    ("lightgbm", "quantities"): (
        "regression", "l2", "mse", "rmse", "regression_l1", "l1", "mae", "huber", "fair", "poisson", "quantile", "mape",
        "gamma", "tweedie",
    ),
    ("catboost", "two classes"): ("Logloss", "CrossEntropy"),
    ("catboost", "classes"): ("MultiClass", "MultiClassOneVsAll"),
    ("catboost", "quantities"): (
        "RMSE", "MAE", "Quantile", "MAPE", "Poisson", "Tweedie", "Huber", "LogLinQuantile", "Expectile",
    ),
}  # fmt: skip


def settled(entry: Algorithm, card: ModelCard) -> dict[str, Any]:
    """The parameters of a card as its library takes them.

    Raises:
        ToolFailure: an unknown column or class, or a value that the library would ignore or read by a hidden order.
    """
    return {name: _settled(entry, card, name, value) for name, value in card.params.items()}


def _settled(entry: Algorithm, card: ModelCard, name: str, value: Any) -> Any:
    if value is None:
        return value
    if name in BY_POSITION:
        raise ToolFailure(f"{name} is set by the server, from the types of the columns", "Leave it out.")
    if name in (*MONOTONE, *TOGETHER, *BY_COLUMN):
        return _by_column(entry, card, name, value)
    if name in BY_CLASS:
        return _class_weights(card, name, value)
    if name in BY_TWO_CLASSES and not card.binary and value not in (1, False):
        raise ToolFailure(f"{name} counts for two classes only", "Leave it out.")
    if name in OBJECTIVES:
        _check_objective(entry, card, name, value)
    return value


def encoded(card: ModelCard) -> list[str]:
    """The columns that trees get, in their order: categories as codes, then numbers."""
    return [*card.categories, *card.numbers]


def _by_column(entry: Algorithm, card: ModelCard, name: str, value: Any) -> Any:
    if entry.encoding == "onehot":
        raise ToolFailure(
            f"{entry.name} takes no {name} here: its categories are several columns", "Use HistGradientBoosting."
        )
    text = entry.library == "xgboost"
    if name in TOGETHER:
        groups = [[encoded(card).index(_column(card, column)) for column in group] for group in _lists(name, value)]
        return str(groups) if text else groups
    if name not in MONOTONE:
        return _ordered(card, name, value, 1.0, lambda weight: isinstance(weight, int | float) and weight >= 0)
    signs = _ordered(card, name, value, 0, lambda sign: sign in (-1, 0, 1))
    if held := [
        column for column, sign in zip(encoded(card), signs, strict=True) if sign and column in card.categories
    ]:
        raise ToolFailure(f"{held[0]} is a category, which cannot rise or fall", f"Leave it out of {name}.")
    return f"({','.join(map(str, signs))})" if text else signs


def _ordered(card: ModelCard, name: str, value: Any, other: Any, fits: Callable[[Any], bool]) -> list[Any]:
    """A value for each encoded column, given by name or in the order of the features."""
    if isinstance(value, Sequence) and not isinstance(value, str) and len(value) == len(card.names):
        value = dict(zip(card.names, value, strict=True))
    if not isinstance(value, Mapping):
        raise ToolFailure(f"{name} is {str(value)[:60]!r}", 'Name the columns, e.g. {"age": 1}.')
    given = {_column(card, column): entry for column, entry in value.items()}
    if wrong := [column for column, entry in given.items() if not fits(entry)]:
        raise ToolFailure(f"{name} of {wrong[0]} is {given[wrong[0]]!r}", "Pass -1, 0 or 1, or a weight of at least 0.")
    return [given.get(column, other) for column in encoded(card)]


def _column(card: ModelCard, name: object) -> str:
    if str(name) not in card.names:
        raise unknown("feature", str(name), card.names)
    return str(name)


def _lists(name: str, value: Any) -> list[list[object]]:
    if not isinstance(value, list) or not all(isinstance(group, list) for group in value):
        raise ToolFailure(f"{name} is {str(value)[:60]!r}", 'Name the columns, e.g. [["age", "income"]].')
    return value


def _class_weights(card: ModelCard, name: str, value: Any) -> Any:
    if isinstance(value, str):
        return value
    labels = [canonical(label) for label in card.classes]
    if isinstance(value, list) and len(value) == len(labels):
        value = dict(zip(labels, value, strict=True))
    if not isinstance(value, Mapping):
        raise ToolFailure(f"{name} is {str(value)[:60]!r}", 'Name the classes, e.g. {"yes": 5}.')
    given = {canonical(label): weight for label, weight in value.items()}
    if strange := [label for label in given if label not in labels]:
        raise unknown("class", strange[0], map(str, card.classes))
    weights = [given.get(label, 1.0) for label in labels]
    return weights if name == "class_weights" else dict(enumerate(weights))


def _check_objective(entry: Algorithm, card: ModelCard, name: str, value: Any) -> None:
    kind = "two classes" if card.binary else "classes" if card.task == "classification" else "quantities"
    known = KNOWN_OBJECTIVES.get((entry.library, kind), ())
    # CatBoost writes parameters of a loss behind its name.
    named = str(value).partition(":")[0] if entry.library == "catboost" else value
    if known and named not in known:
        raise ToolFailure(
            f"{entry.name} has no {name}={str(value)[:60]!r} for a target that is taken as {kind}",
            f"It takes {', '.join(known)}; `task` says whether {card.target} holds classes or quantities.",
        )
