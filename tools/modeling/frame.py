"""Turn rows into what a model takes: the right columns, in order, with one type each and one kind of missing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import ToolFailure, unknown
from .card import Feature, Label, ModelCard, Task

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

MAX_CLASSES = 100
# A text column with more distinct values than this share of the rows names the rows instead of describing them.
IDENTIFIER_SHARE = 0.5
# numpy's kinds of dates and of spans of time.
TIMES = "Mm"


def choose_features(
    frame: pd.DataFrame, target: str, features: Sequence[str], exclude: Sequence[str]
) -> tuple[list[Feature], list[str]]:
    """The model's inputs, and a note for every column that was left out unasked or may be misread.

    Named features are taken as they are. Otherwise every column is, but for the target, times, identifiers
    and constants.

    Raises:
        ToolFailure: an unknown column, the target among the features, no feature left, or a named column that
            can be none.
    """
    columns = [str(column) for column in frame.columns]
    for name in (target, *features, *exclude):
        if name not in columns:
            raise unknown("column", name, columns)
    if target in features:
        raise ToolFailure(f"the target {target!r} cannot be a feature", "Leave it out of `features`.")
    if frame.empty:
        raise ToolFailure("the dataset has no rows", "Pass one that has.")
    if features:
        named = [name for name in dict.fromkeys(features) if name not in exclude]
        return [_feature(frame[name]) for name in named], _doubts(frame, named)
    candidates = [name for name in columns if name not in (target, *exclude)]
    reasons = {name: _reason_to_drop(frame[name]) for name in candidates}
    kept = [_feature(frame[name]) for name in candidates if not reasons[name]]
    if not kept:
        raise ToolFailure("no column is left as a feature", "Name the features.")
    left_out = [f"left out {name}: {reason}" for name, reason in reasons.items() if reason]
    return kept, [*left_out, *_doubts(frame, [feature.name for feature in kept])]


def design(frame: pd.DataFrame, card: ModelCard) -> pd.DataFrame:
    """The feature columns of `frame` as a model of this card was trained on them.

    Numbers become float64 (NaN is missing), categories Python strings with NaN for missing. Other columns are
    ignored; the order of rows and the index stay.

    Raises:
        ToolFailure: a missing column, text in a number column, or an infinite number.
    """
    import pandas as pd

    columns = [str(column) for column in frame.columns]
    for name in card.names:
        if name not in columns:
            raise unknown("column for feature", name, columns, f"The model needs: {', '.join(card.names)}.", limit=30)
    parts = {
        feature.name: _number(frame[feature.name]) if feature.kind == "number" else _category(frame[feature.name])
        for feature in card.features
    }
    return pd.DataFrame(parts, index=frame.index)


def infer_task(target: pd.Series) -> Task:
    """Classification for text, booleans and integers of at most 20 values; regression for other numbers."""
    if target.dtype.kind not in "iuf":
        return "classification"
    few = target.nunique() <= 20
    whole = target.dtype.kind in "iu" or bool((target.dropna() % 1 == 0).all())
    return "classification" if few and whole else "regression"


def classes_of(target: pd.Series) -> list[Label]:
    """The sorted labels of a target.

    Raises:
        ToolFailure: missing labels, fewer than two or too many.
    """
    _require_complete(target)
    labels: list[Label] = sorted(target.unique().tolist())
    if not 2 <= len(labels) <= MAX_CLASSES:
        raise ToolFailure(
            f"{target.name} has {len(labels)} distinct values", f"Classification takes 2 to {MAX_CLASSES}."
        )
    return labels


def encode(target: pd.Series, card: ModelCard) -> np.ndarray:
    """Labels as positions in `card.classes` (int64), or the numbers of a regression target (float64).

    Raises:
        ToolFailure: missing values, or a label the model does not know.
    """
    import numpy as np

    _require_complete(target)
    if card.task == "regression":
        if target.dtype.kind in TIMES:
            raise ToolFailure(f"the target {target.name!r} is a time", "Derive a number from it, e.g. days.")
        return _number(target).to_numpy()
    position = {label: index for index, label in enumerate(card.classes)}
    labels = target.tolist()
    if strange := sorted({str(label) for label in labels if label not in position}):
        raise ToolFailure(
            f"{target.name} holds labels the model does not know: {', '.join(strange[:5])}",
            f"Known: {', '.join(map(str, card.classes[:10]))}.",
        )
    return np.array([position[label] for label in labels], dtype=np.int64)


def _require_complete(target: pd.Series) -> None:
    if missing := int(target.isna().sum()):
        raise ToolFailure(f"the target {target.name!r} is missing in {missing} rows", "Drop those rows first.")


def _feature(values: pd.Series) -> Feature:
    name = str(values.name)
    if values.dtype.kind in TIMES:
        raise ToolFailure(
            f"{name} is a time, which is no feature by itself", "Derive numbers from it, or leave it out."
        )
    if _nested(values):
        raise ToolFailure(f"{name} holds nested values, which are no feature", "Derive numbers from it.")
    if not values.notna().any():
        raise ToolFailure(f"{name} has no values at all", "Leave it out.")
    return Feature(name=name, kind="number" if values.dtype.kind in "iufb" or _all_bool(values) else "category")


def _doubts(frame: pd.DataFrame, names: Sequence[str]) -> list[str]:
    """What is taken as it is and may be meant otherwise."""
    import pandas as pd

    notes: list[str] = []
    for name in names:
        values = frame[name]
        if values.dtype.kind in "iu" and int(values.abs().max()) > EXACT:
            notes.append(f"{name} holds integers beyond 2**53, which are rounded to floats")
        if values.dtype == object and not _all_bool(values):
            known = values.dropna()
            if pd.to_numeric(known, errors="coerce").notna().all():
                notes.append(f"{name} holds numbers as text, so each is a category: convert it if it is a quantity")
            elif values.nunique() > IDENTIFIER_SHARE * len(values):
                notes.append(f"{name} has {values.nunique()} distinct texts: it may name the rows")
    return notes


def _nested(values: pd.Series) -> bool:
    return values.dtype == object and bool(
        values.map(lambda value: hasattr(value, "__len__") and not isinstance(value, str)).any()
    )


def _all_bool(values: pd.Series) -> bool:
    return values.dtype == object and {type(value) for value in values.dropna()} == {bool}


def _reason_to_drop(values: pd.Series) -> str:
    if values.dtype.kind in TIMES:
        return "a time"
    if _nested(values):
        return "nested values"
    distinct = values.nunique()
    if distinct <= 1:
        return "constant"
    if values.dtype == object and not _all_bool(values) and distinct > IDENTIFIER_SHARE * len(values):
        return f"{distinct} distinct texts, an identifier"
    if values.dtype.kind in "iu" and distinct == len(values) and len(values) > 100:
        return "an integer unique to each row, an identifier"
    return ""


def _number(values: pd.Series) -> pd.Series:
    import numpy as np
    import pandas as pd

    numbers = pd.to_numeric(values, errors="coerce").astype("float64")
    if bad := values[numbers.isna() & values.notna()].head(3).tolist():
        raise ToolFailure(f"{values.name} must be a number, but holds {bad}", "Clean the column, or drop the feature.")
    if np.isinf(numbers).any():
        raise ToolFailure(f"{values.name} holds infinite numbers", "Replace them by missing values or a bound.")
    return numbers


def _category(values: pd.Series) -> pd.Series:
    import numpy as np

    # None is a category of its own to scikit-learn's encoders, and the text 'nan' a value: only NaN is missing.
    return values.map(str, na_action="ignore").astype(object).where(values.notna(), np.nan)
