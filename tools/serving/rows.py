"""Check the rows of a request and build the table that a model takes.

Copied as it is into every bento, so it imports nothing of this package. It does what `modeling.frame.design`
does to a dataset, for the values that JSON knows, and refuses what that would have to guess.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

MAX_SHOWN = 40

Cell = float | str
Row = Mapping[str, object]
Features = Mapping[str, str]


def check(rows: Sequence[Row], features: Features) -> list[dict[str, Cell]]:
    """The rows with exactly the features, as floats and texts; NaN stands for what is missing.

    Args:
        features: name -> "number" or "category".

    Raises:
        ValueError: no rows, a feature that is absent, a field that is none, or a value of the wrong kind.
    """
    if not rows:
        raise ValueError("rows is empty: pass at least one row")
    return [_row(index, row, features) for index, row in enumerate(rows)]


def table(rows: Sequence[Mapping[str, Cell]], features: Features) -> pd.DataFrame:
    """Checked rows as the columns that the model was trained on."""
    import pandas as pd

    types = {"number": "float64", "category": "object"}
    return pd.DataFrame(
        {name: pd.Series([row[name] for row in rows], dtype=types[kind]) for name, kind in features.items()}
    )


def _row(index: int, row: Row, features: Features) -> dict[str, Cell]:
    if strange := [name for name in row if name not in features]:
        near = [match for name in strange for match in difflib.get_close_matches(name, features, 1)]
        hint = f"did you mean {', '.join(near)}?" if near else f"the features are {_listed(features)}"
        raise ValueError(f"row {index}: unknown {_listed(strange)}: {hint}")
    if absent := [name for name in features if name not in row]:
        raise ValueError(f"row {index}: {_listed(absent)} is absent: pass null for a value that is not known")
    return {name: _READ[kind](index, name, row[name]) for name, kind in features.items()}


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


def _category(index: int, name: str, value: object) -> Cell:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return math.nan
    if not isinstance(value, str | int | float):
        raise ValueError(f"row {index}: {name} must be a text, but is {str(value)[:40]!r}")
    return str(value)


def _listed(names: Sequence[str] | Features) -> str:
    shown = list(names)[:MAX_SHOWN]
    return ", ".join(shown) + (f" and {len(names) - MAX_SHOWN} more" if len(names) > MAX_SHOWN else "")


_READ: Mapping[str, Callable[[int, str, object], Cell]] = {"number": _number, "category": _category}
