"""Which source column each encoded column was made from, by position.

Never by name: a category's column is called `column_value`, which may be, or begin like, the name of another column.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import ToolFailure
from .card import ModelCard


def sources(encoder: Any, card: ModelCard) -> list[int]:
    """For each column that comes out of a fitted encoder, which of the card's features it was made from.

    Args:
        encoder: a ColumnTransformer of `pipelines`, or a Pipeline that begins with one, fitted to a design of the card.

    Raises:
        ToolFailure: a step whose columns cannot be followed.
    """
    first = encoder[0] if hasattr(encoder, "steps") else encoder
    inputs = [card.names.index(str(name)) for name in first.feature_names_in_]
    return [inputs[position] for position in _origins(encoder, len(inputs))]


def _origins(step: Any, width: int) -> list[int]:
    """The position among the `width` inputs of a fitted step that each of its outputs was made from."""
    from sklearn.base import OneToOneFeatureMixin
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import MissingIndicator, SimpleImputer
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import FunctionTransformer, OneHotEncoder

    if isinstance(step, Pipeline):
        return _chained([part for _, part in step.steps], width)
    if isinstance(step, ColumnTransformer):
        return _side_by_side(step)
    if isinstance(step, OneHotEncoder):
        return [position for position, count in enumerate(_level_columns(step)) for _ in range(count)]
    if isinstance(step, MissingIndicator):
        return [int(position) for position in step.features_]
    if isinstance(step, SimpleImputer):
        return _imputed(step)
    if step == "passthrough" or isinstance(step, OneToOneFeatureMixin):
        return list(range(width))
    if isinstance(step, FunctionTransformer) and (step.func is None or step.feature_names_out == "one-to-one"):
        return list(range(width))
    raise ToolFailure(
        f"the columns that {type(step).__name__} makes cannot be followed to those they come from",
        "Train the model here with train_model.",
    )


def _chained(steps: Sequence[Any], width: int) -> list[int]:
    origins = list(range(width))
    for step in steps:
        origins = [origins[position] for position in _origins(step, len(origins))]
    return origins


def _side_by_side(step: Any) -> list[int]:
    """The parts of a ColumnTransformer, each at the place where the fitted one says that its columns lie."""
    inputs = [str(name) for name in step.feature_names_in_]
    origins: dict[int, int] = {}
    for name, part, columns in step.transformers_:
        place = step.output_indices_[name]
        if place.stop == place.start:
            continue
        taken = _positions(columns, inputs)
        made = [taken[position] for position in _origins(part, len(taken))]
        if len(made) != place.stop - place.start:
            raise ToolFailure(
                f"{name} makes {place.stop - place.start} columns where {len(made)} were expected",
                "Train the model again with train_model.",
            )
        origins |= dict(zip(range(place.start, place.stop), made, strict=True))
    return [origins[position] for position in range(len(origins))]


def _positions(columns: Any, inputs: Sequence[str]) -> list[int]:
    """The columns a part takes, which may be given by name, position, slice or mask, as positions."""
    if isinstance(columns, slice):
        return list(range(len(inputs)))[columns]
    listed = list(columns)
    if listed and all(isinstance(column, bool) for column in listed):
        return [position for position, taken in enumerate(listed) if taken]
    return [inputs.index(column) if isinstance(column, str) else int(column) for column in listed]


def _level_columns(encoder: Any) -> list[int]:
    """How many columns each category has: one a level, rare levels share one, a dropped level has none."""
    rare = getattr(encoder, "infrequent_categories_", None) or [None] * len(encoder.categories_)
    dropped = encoder.drop_idx_ if encoder.drop_idx_ is not None else [None] * len(encoder.categories_)
    return [
        len(levels) - (len(shared) - 1 if shared is not None else 0) - (level is not None)
        for levels, shared, level in zip(encoder.categories_, rare, dropped, strict=True)
    ]


def _imputed(imputer: Any) -> list[int]:
    """An imputer drops columns that were empty in training, if not told to keep them, and adds marks at the end."""
    import pandas as pd

    known = ~pd.isna(imputer.statistics_)
    kept = [position for position, filled in enumerate(known) if filled or imputer.keep_empty_features]
    marks = imputer.indicator_.features_ if imputer.add_indicator else []
    return [*kept, *(int(position) for position in marks)]
