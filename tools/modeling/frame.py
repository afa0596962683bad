"""Turn rows into what a model takes: the right columns, in order, with one type each and one kind of missing.

Which task a target asks for, and its labels, are settled in `target.py`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import ToolFailure, unknown
from ..numbers import EXACT
from .card import Feature, ModelCard, Seen
from .shipped import canonical

if TYPE_CHECKING:
    import pandas as pd

# A text column with more distinct values than this share of the rows names the rows instead of describing them.
IDENTIFIER_SHARE = 0.5
# What the name of a column that numbers or names rows begins or ends with.
IDENTIFIER_NAMES = re.compile(
    r"^(id|uuid|guid|key|index|rowid|row|nr|no)$|_(id|uuid|guid|key|nr|no|index)$|^id_|Id$|ID$"
)
# Texts of which this share are numbers were meant as numbers.
NUMERIC_SHARE = 0.5
# Whole numbers that differ in each of fewer rows say nothing.
MANY_ROWS = 100
# Of the columns that were left out or may be misread, so many are named.
SHOWN = 12
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
    dropped = [f"{name}: {reason}" for name, reason in reasons.items() if reason]
    left_out = [f"left out {text}; name it in `features` to use it" for text in dropped[:SHOWN]]
    left_out += [f"left out {len(dropped) - SHOWN} more such columns"] if len(dropped) > SHOWN else []
    return kept, [*left_out, *_doubts(frame, [feature.name for feature in kept])]


def design(frame: pd.DataFrame, card: ModelCard) -> pd.DataFrame:
    """The feature columns of `frame` as a model of this card was trained on them.

    Numbers become float64 (NaN is missing), categories Python strings with NaN for missing; a category of another type
    than in training (1, "1", 1.0) becomes the level it was. Other columns are ignored; the order of rows and the index
    stay.

    Raises:
        ToolFailure: a missing column, text in a number column, or an infinite number.
    """
    import pandas as pd

    columns = [str(column) for column in frame.columns]
    for name in card.names:
        if name not in columns:
            raise unknown("column for feature", name, columns, f"The model needs: {', '.join(card.names)}.", limit=30)
    parts = {
        feature.name: number(frame[feature.name])
        if feature.kind == "number"
        else _category(frame[feature.name], card.seen.get(feature.name))
        for feature in card.features
    }
    return pd.DataFrame(parts, index=frame.index)


def _feature(values: pd.Series) -> Feature:
    name = str(values.name)
    if values.dtype.kind in TIMES:
        raise ToolFailure(
            f"{name} is a time, which is no feature by itself", "Leave it out, or add its month by query_dataset."
        )
    if _nested(values):
        raise ToolFailure(f"{name} holds nested values, which are no feature", "Leave it out.")
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
                notes.append(f"{name} holds numbers as text, so each is a category")
            elif values.nunique() > IDENTIFIER_SHARE * len(values):
                notes.append(f"{name} has {values.nunique()} distinct texts: it may name the rows")
    return notes if len(notes) <= SHOWN else [*notes[:SHOWN], f"{len(notes) - SHOWN} more such columns"]


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
    if not distinct:
        return "no values"
    if distinct == 1 and values.notna().all():
        return "constant"
    if values.dtype == object and not _all_bool(values) and distinct > IDENTIFIER_SHARE * len(values):
        return _names_rows(values, distinct)
    if values.dtype.kind in "iu" and distinct == len(values) > MANY_ROWS and _counts_rows(values):
        return "a whole number unique to each row that is named or counts like an identifier"
    return ""


def _names_rows(values: pd.Series, distinct: int) -> str:
    """Why a text column with so many distinct values is no feature."""
    import pandas as pd

    known = values.dropna()
    bad = known[pd.to_numeric(known, errors="coerce").isna()]
    if 0 < len(bad) <= (1 - NUMERIC_SHARE) * len(known):
        shown = ", ".join(repr(str(text)[:20]) for text in bad.unique()[:3])
        numbers = len(known) - len(bad)
        return f"text, though {numbers} of {len(known)} are numbers (not {shown}): load_dataset takes null_values"
    return f"{distinct} distinct texts, an identifier"


def _counts_rows(values: pd.Series) -> bool:
    """Whether the name says so, or the values are the numbers of rows without a gap."""
    run = int(values.max()) - int(values.min()) + 1 == len(values)
    return run or bool(IDENTIFIER_NAMES.search(str(values.name)))


def number(values: pd.Series) -> pd.Series:
    """A column as float64.

    Raises:
        ToolFailure: text that is no number, or an infinite number.
    """
    import numpy as np
    import pandas as pd

    numbers = pd.to_numeric(values, errors="coerce").astype("float64")
    if bad := values[numbers.isna() & values.notna()].head(3).tolist():
        raise ToolFailure(
            f"{values.name} must be a number, but holds {bad}",
            "Load the file again with these as null_values, or leave the column out.",
        )
    if np.isinf(numbers).any():
        raise ToolFailure(f"{values.name} holds infinite numbers", "Replace them by query_dataset, or leave it out.")
    return numbers


def _category(values: pd.Series, seen: Seen | None) -> pd.Series:
    import numpy as np

    levels = seen.levels if seen else []
    known = {canonical(level): level for level in reversed(levels)} | {level: level for level in levels}
    texts = values.map(_text, na_action="ignore").astype(object)
    named = {text: known.get(text, known.get(canonical(text), text)) for text in texts[values.notna()].unique()}
    # None is a category of its own to scikit-learn's encoders, and the text 'nan' a value: only NaN is missing.
    return texts.map(named, na_action="ignore").astype(object).where(values.notna(), np.nan)


def _text(value: object) -> str:
    """The text of a value; whole numbers have no point, which a hole in their column would give them."""
    return canonical(value) if isinstance(value, float) else str(value)
