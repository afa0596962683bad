"""Check the rows of a request and build the table that a model takes.

Copied as it is into every bento, so it imports nothing of this package. It does what `modeling.frame.design`
does to a dataset, for the values that JSON knows, and refuses what that would have to guess.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

MAX_SHOWN = 40
# Features that are named for what training never saw, and values that are shown of each.
NAMED, EXAMPLES = 8, 3
DECIMAL = re.compile(r"-?(0|[1-9]\d*)\.\d+")

Cell = float | str
Row = Mapping[str, object]
Features = Mapping[str, str]
# Feature -> text as it may come -> the level of training that it is.
Levels = Mapping[str, Mapping[str, str]]
# Feature -> what it held in training: `low` and `high`, or `levels`, and how often it was `missing`.
Seen = Mapping[str, Mapping[str, Any]]


def levels_of(seen: Seen) -> Levels:
    return {
        name: {canonical(level): level for level in reversed(held["levels"])}
        | {level: level for level in held["levels"]}
        for name, held in seen.items()
    }


def canonical(text: str) -> str:
    """One text for a value that was a number or a truth value elsewhere: "1.0" is "1", "TRUE" is "true"."""
    if DECIMAL.fullmatch(text):
        number = float(text)
        return str(int(number)) if number.is_integer() else repr(number)
    return text.lower() if text.lower() in ("true", "false") else text


def check(rows: Sequence[Row], features: Features, levels: Levels) -> list[dict[str, Cell]]:
    """The rows with exactly the features, as floats and texts; NaN stands for what is missing.

    Args:
        features: name -> "number" or "category".

    Raises:
        ValueError: no rows, a feature that is absent, a field that is none, or a value of the wrong kind.
    """
    if not rows:
        raise ValueError("rows is empty: pass at least one row")
    return [_row(index, row, features, levels) for index, row in enumerate(rows)]


def surprises(rows: Sequence[Mapping[str, Cell]], features: Features, seen: Seen) -> list[str]:
    """A note for each feature with values that training had none of; of many features, only the first are named.

    Args:
        rows: checked ones.
    """
    empty = sum(all(value != value for value in row.values()) for row in rows)
    notes = [f"{empty} of {len(rows)} rows hold no value at all"] if empty else []
    if not seen:
        return [*notes, "what this model saw in training is not known, so unseen values were not counted"]
    found = [note for name in features for note in _surprise(name, [row[name] for row in rows], seen[name])]
    more = len(found) - NAMED
    return [*notes, *found[:NAMED], *([f"{more} more such features"] if more > 0 else [])]


def _surprise(name: str, values: Sequence[Cell], seen: Mapping[str, Any]) -> list[str]:
    of = f"of {len(values)} rows"
    known = [value for value in values if value == value]
    missing = len(values) - len(known)
    notes = (
        [f"{name} is missing in {missing} {of}, and never was in training"] if missing and not seen["missing"] else []
    )
    low, high = seen["low"], seen["high"]
    outside = low is not None and sum(not low <= value <= high for value in known)
    if outside:
        notes.append(f"{name} is outside of {low:.6g} to {high:.6g} in {outside} {of}")
    strange = [value for value in known if seen["levels"] and value not in seen["levels"]]
    if strange:
        shown = ", ".join(repr(str(text)[:30]) for text in list(dict.fromkeys(strange))[:EXAMPLES])
        notes.append(f"{name} holds values unseen in training in {len(strange)} {of}, e.g. {shown}")
    return notes


def table(rows: Sequence[Mapping[str, Cell]], features: Features) -> pd.DataFrame:
    """Checked rows as the columns that the model was trained on."""
    import pandas as pd

    types = {"number": "float64", "category": "object"}
    return pd.DataFrame(
        {name: pd.Series([row[name] for row in rows], dtype=types[kind]) for name, kind in features.items()}
    )


def _row(index: int, row: Row, features: Features, levels: Levels) -> dict[str, Cell]:
    if strange := [name for name in row if name not in features]:
        near = [match for name in strange for match in difflib.get_close_matches(name, features, 1)]
        hint = f"did you mean {', '.join(near)}?" if near else f"the features are {_listed(features)}"
        raise ValueError(f"row {index}: unknown {_listed(strange)}: {hint}")
    if absent := [name for name in features if name not in row]:
        raise ValueError(f"row {index}: {_listed(absent)} is absent: pass null for a value that is not known")
    return {
        name: _number(index, name, row[name])
        if kind == "number"
        else _category(index, name, row[name], levels.get(name, {}))
        for name, kind in features.items()
    }


def _number(index: int, name: str, value: object) -> float:
    if value is None:
        return math.nan
    if not isinstance(value, int | float):
        raise ValueError(f"row {index}: {name} must be a number, but is {str(value)[:40]!r}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if math.isinf(number):
        raise ValueError(f"row {index}: {name} is not finite")
    return number


def _category(index: int, name: str, value: object, levels: Mapping[str, str]) -> Cell:
    """The level of training that a text is, or the text itself.

    A number is refused: JSON does not say whether 1234 was "1234", "01234" or "1234.0".
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return math.nan
    if isinstance(value, bool):
        value = str(value).lower()
    if isinstance(value, str):
        return levels.get(value, levels.get(canonical(value), value))
    near = next((level for level in levels.values() if level.lstrip("0") == str(value)), "")
    hint = f', e.g. "{near}"' if near else ", in quotes" if isinstance(value, int | float) else ""
    raise ValueError(f"row {index}: {name} must be a text{hint}, but is {str(value)[:40]!r}")


def _listed(names: Sequence[str] | Features) -> str:
    shown = list(names)[:MAX_SHOWN]
    return ", ".join(shown) + (f" and {len(names) - MAX_SHOWN} more" if len(names) > MAX_SHOWN else "")
