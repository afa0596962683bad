"""The values of a treatment: which of them are compared, and which is the untreated one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import ToolFailure, unknown
from .card import Treatment

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

MIN_ARM_ROWS = 30
# More distinct numbers are an amount, more distinct texts cannot be compared.
FEW_NUMBERS, FEW_TEXTS = 5, 12
UNTREATED = ("control", "controls", "placebo", "untreated", "none", "no", "false", "0", "baseline", "off", "never")
Level = str | float


def levels_of(values: pd.Series, control: str = "", dose: bool = False) -> list[Level]:
    """The untreated value and the arms; none if the treatment is an amount.

    Two values are two arms, up to five whole numbers are arms unless they are a dose, and so are texts. An arm of too
    few rows is left out.

    Raises:
        ToolFailure: one value only, too many texts, a `control` that is none, or too few rows of two arms.
    """
    known = named(values.dropna())
    counts = known.value_counts()
    if len(counts) < 2:
        raise ToolFailure(f"the treatment {values.name!r} has one value only", "There is nothing to compare.")
    if _amount(counts, dose):
        if control:
            raise ToolFailure(f"{values.name} is an amount, which has no `control`", "Leave `control` out.")
        return []
    if len(counts) > FEW_TEXTS:
        raise ToolFailure(
            f"{values.name} must be numbers or at most {FEW_TEXTS} texts, and holds {len(counts)} distinct ones",
            "Name a column with fewer arms.",
        )
    return _ordered(str(values.name), counts, control)


def named(values: pd.Series) -> pd.Series:
    """The values as they stand in a card: floats if all are numbers or booleans, else texts."""
    import pandas as pd

    numeric = pd.to_numeric(values, errors="coerce")
    if numeric.notna().all():
        return pd.Series(numbers(values), index=values.index, name=values.name)
    return values.map(str).astype(object)


def left_out(values: pd.Series, treatment: Treatment) -> pd.Series:
    """The rows of arms that `levels_of` left out, as a mask."""
    import pandas as pd

    if not treatment.discrete:
        return pd.Series(False, index=values.index)
    return values.notna() & ~_canonical(values, treatment).isin(treatment.levels)


def positions(values: pd.Series, treatment: Treatment) -> np.ndarray:
    """The position of each row's level, or its amount.

    Raises:
        ToolFailure: a value that the card does not compare, or too few rows of an arm.
    """
    import numpy as np

    if not treatment.discrete:
        return numbers(values)
    known = _canonical(values, treatment)
    place = {level: index for index, level in enumerate(treatment.levels)}
    found = known.map(place)
    if found.isna().any():
        strange = known[found.isna()].iloc[0]
        raise ToolFailure(
            f"{treatment.column} is {show(strange)} in some rows",
            f"The model compares {', '.join(map(show, treatment.levels))}.",
        )
    made = found.to_numpy(dtype=np.int64)
    if np.bincount(made, minlength=len(place)).min() < MIN_ARM_ROWS:
        raise ToolFailure(f"fewer than {MIN_ARM_ROWS} rows are treated or untreated", "Use more data.")
    return made


def _canonical(values: pd.Series, treatment: Treatment) -> pd.Series:
    """The values as the levels of the card are written."""
    import pandas as pd

    if isinstance(treatment.levels[0], str):
        return values.map(str)
    made = pd.to_numeric(values, errors="coerce").astype(float)
    return made.astype(object).where(made.notna(), values)


def numbers(values: pd.Series) -> np.ndarray:
    """Values as floats.

    Raises:
        ToolFailure: text, or an infinite number.
    """
    import numpy as np
    import pandas as pd

    made = pd.to_numeric(values, errors="coerce").to_numpy(dtype=float)
    if not np.isfinite(made).all():
        raise ToolFailure(f"{values.name} must be numbers, e.g. 0 and 1", "Name a column that holds numbers.")
    return made


def show(level: Level) -> str:
    return f"{level:g}" if isinstance(level, float) else str(level)


def guessed(levels: list[Level]) -> bool:
    """Whether nothing says that the first level is the untreated one."""
    return isinstance(levels[0], str) and levels[0].strip().lower() not in UNTREATED


def _amount(counts: pd.Series, dose: bool) -> bool:
    if isinstance(counts.index[0], str):
        if dose:
            raise ToolFailure("an effect per unit is of numbers", "Leave `target` out: each text is an arm.")
        return False
    if dose or len(counts) > FEW_NUMBERS:
        return True
    return len(counts) > 2 and any(float(level) % 1 for level in counts.index)


def _ordered(column: str, counts: pd.Series, control: str) -> list[Level]:
    """The untreated first, then the arms in order."""
    levels: list[Level] = sorted(counts.index.tolist())
    names = {show(level): level for level in levels}
    if control and _key(control, names) is None:
        raise unknown(f"value of {column}", control, names)
    plain = next((level for name, level in names.items() if name.strip().lower() in UNTREATED), levels[0])
    first = names[_key(control, names) or show(plain)]
    arms = [level for level in levels if level != first]
    rare = [level for level in levels if counts[level] < MIN_ARM_ROWS]
    if len(levels) == 2 and rare:
        raise ToolFailure(
            f"fewer than {MIN_ARM_ROWS} rows are treated or untreated: {column} is {show(rare[0])} in "
            f"{counts[rare[0]]}",
            "Use more data.",
        )
    if first in rare:
        raise ToolFailure(
            f"{counts[first]} rows are untreated ({column} is {show(first)})",
            f"Name a `control` of at least {MIN_ARM_ROWS} rows.",
        )
    kept = [level for level in arms if level not in rare]
    if not kept:
        raise ToolFailure(f"no arm of {column} has {MIN_ARM_ROWS} rows", "Use more data.")
    return [first, *kept]


def _key(control: str, names: dict[str, Level]) -> str | None:
    """The name of a control in any spelling of a number or a boolean: 0, 0.0, false."""
    spelled = {"false": "0", "true": "1"}.get(control.strip().lower(), control)
    if control in names:
        return control
    try:
        return next((name for name in names if name == f"{float(spelled):g}"), None)
    except ValueError:
        return None
