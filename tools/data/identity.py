"""Which rows are the same, and which belong together, whatever file or dataset they stand in.

A row is known by 64 bits of its content (`pandas.util.hash_pandas_object`): numbers by their value whatever their type,
texts by their characters, missing values alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

EXACT_INTEGERS = 2**53
# Rows that repeat others are copies of them only where there are many kinds of rows: this share of all.
KINDS_OF_ROWS = 0.1
# A column can name groups if it has so many values, each in at least two rows and at most so many on average.
FEWEST_GROUPS, ROWS_OF_A_GROUP = 10, 50
# How likely chance may be to make another column the same within all groups.
BY_CHANCE = 1e-6
# Neighbours that are alike so much come from a function of the value, not from a group.
ALIKE = 0.5
LOOKED_AT_ROWS, LOOKED_AT_COLUMNS = 20_000, 60


def row_hashes(frame: pd.DataFrame) -> np.ndarray:
    """64 bits of each row, shape (rows,); the order of columns counts, their names and types do not."""
    import numpy as np
    import pandas as pd

    if not frame.shape[1]:
        return np.zeros(len(frame), dtype=np.uint64)
    parts = [part for index in range(frame.shape[1]) for part in _canonical(frame.iloc[:, index])]
    return pd.util.hash_pandas_object(pd.DataFrame(dict(enumerate(parts))), index=False).to_numpy()


def codes(values: pd.Series) -> np.ndarray:
    """The values as whole numbers from 0 in the order of their first rows; missing ones are one value."""
    import pandas as pd

    return pd.factorize(row_hashes(values.to_frame()))[0]


@dataclass(frozen=True)
class Copies:
    """Rows that repeat others: `unit` numbers the distinct rows, `kinds` counts them, `width` the columns compared."""

    unit: np.ndarray
    kinds: int
    width: int

    @property
    def repeats(self) -> int:
        return len(self.unit) - self.kinds

    @property
    def stand_out(self) -> bool:
        """Whether the repeats are copies, instead of the few rows there can be of one or a few short columns."""
        return self.width > 1 and self.repeats > 0 and self.kinds >= KINDS_OF_ROWS * len(self.unit)


def copies(frame: pd.DataFrame) -> Copies:
    """Which rows are the same in every column but those that number the rows."""
    import pandas as pd

    compared = [name for name in frame.columns if not numbers_rows(frame[name])]
    unit, kinds = pd.factorize(row_hashes(frame[compared]))
    return Copies(unit, len(kinds), len(compared))


def likely_group(frame: pd.DataFrame, leave_out: Sequence[str] = ()) -> str:
    """The column that seems to say which rows belong together (a customer, a patient), or nothing.

    Its values repeat, and another column is the same in all rows of each of them, beyond chance and without being a
    smooth function of it.
    """
    import pandas as pd

    plain = _plain(frame)
    rows = frame.loc[~frame.duplicated(subset=plain)] if plain else frame
    looked = rows.iloc[:LOOKED_AT_ROWS, :LOOKED_AT_COLUMNS]
    found = {str(name): codes(looked[name]) for name in looked.columns if name in plain}
    best, most = "", (0, 0)
    for name, every in found.items():
        # Rows that lack it are no group.
        there = looked[name].notna().to_numpy()
        groups = pd.factorize(every[there])[0]
        if name in leave_out or not _may_group(groups):
            continue
        fixed = sum(_fixed(looked[name][there], groups, other[there]) for key, other in found.items() if key != name)
        rank = (int(looked[name].dtype.kind != "f"), int(groups.max()))
        if fixed and rank > most:
            best, most = name, rank
    return best


def decided_by(frame: pd.DataFrame, column: str, leave_out: Sequence[str], by_lot: bool) -> tuple[str, int]:
    """The column of the fewest values, all rows of each of which have one value of `column`, beyond chance.

    Args:
        by_lot: whether `column` was drawn, so that no column can decide it as a smooth function of its own value does.

    Returns:
        Its name and how many values it has; an empty name if there is none.
    """
    import pandas as pd

    looked = frame.iloc[:LOOKED_AT_ROWS, :LOOKED_AT_COLUMNS]
    plain, other = _plain(looked), codes(frame[column].iloc[:LOOKED_AT_ROWS])
    best, fewest = "", len(looked)
    for name in plain:
        if name == column or name in leave_out:
            continue
        there = looked[name].notna().to_numpy()
        groups = pd.factorize(codes(looked[name])[there])[0]
        count = int(groups.max(initial=-1)) + 1
        if not FEWEST_GROUPS <= count < fewest or 2 * count > len(groups):
            continue
        values = looked[name][there].map(str) if by_lot else looked[name][there]
        if _fixed(values, groups, pd.factorize(other[there])[0]):
            best, fewest = str(name), count
    return best, fewest if best else 0


def _may_group(groups: np.ndarray) -> bool:
    count = int(groups.max(initial=-1)) + 1
    return count >= FEWEST_GROUPS and 2 * count <= len(groups) <= ROWS_OF_A_GROUP * count


def _fixed(values: pd.Series, groups: np.ndarray, other: np.ndarray) -> bool:
    """Whether `other` is the same within every group, which chance and smoothness do not explain."""
    import numpy as np

    count = int(groups.max()) + 1
    first = np.full(count, -1)
    first[groups[::-1]] = other[::-1]
    if not (first[groups] == other).all():
        return False
    shares, sizes = np.bincount(other) / len(other), np.bincount(groups)
    chance = sum(np.log((shares ** int(size)).sum()) * times for size, times in zip(*_counted(sizes), strict=True))
    return bool(chance < np.log(BY_CHANCE)) and not _smooth(values, groups, first)


def _smooth(values: pd.Series, groups: np.ndarray, first: np.ndarray) -> bool:
    """Whether neighbouring values of a number column go with equal values of the other column, or with a trend."""
    import numpy as np

    if values.dtype.kind not in "iuf":
        return False
    place = np.zeros(len(first))
    place[groups] = values.to_numpy(dtype=float, na_value=np.nan)
    ordered = first[np.argsort(place)]
    if len(set(ordered.tolist())) == len(ordered):  # each value of one is one value of the other
        return True
    shares = np.bincount(ordered) / len(ordered)
    return bool((ordered[1:] == ordered[:-1]).mean() > (shares**2).sum() + ALIKE * (1 - (shares**2).sum()))


def _counted(sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    import numpy as np

    return np.unique(sizes, return_counts=True)


def _plain(frame: pd.DataFrame) -> list[str]:
    """The columns whose values can be compared."""
    return [
        name
        for name in frame.columns
        if frame[name].dtype != object or not frame[name].map(lambda value: hasattr(value, "__dict__")
        or (hasattr(value, "__len__") and not isinstance(value, str | bytes))).any()
    ]  # fmt: skip


def numbers_rows(values: pd.Series) -> bool:
    """Whether a whole number or text is another one in every row."""
    return len(values) > 1 and values.dtype.kind in "iuO" and _nunique(values) == len(values)


def _nunique(values: pd.Series) -> int:
    return int(codes(values).max(initial=-1)) + 1


def _canonical(values: pd.Series) -> list[pd.Series]:
    """Columns that are equal where the values are."""
    import numpy as np
    import pandas as pd

    kind, dtype = values.dtype.kind, np.dtype(str(values.dtype)) if values.dtype.kind in "iu" else None
    if kind in "Mm":
        return [values.astype("int64").reset_index(drop=True)]
    if kind in "iufb":
        numbers = values.astype("float64").reset_index(drop=True) + 0.0  # one zero
        if kind not in "iu" or not len(values) or abs(numbers).max() <= EXACT_INTEGERS:
            return [numbers]
        return [numbers, values.reset_index(drop=True) - pd.Series(numbers.to_numpy().astype(dtype))]
    texts: Any = values.map(str, na_action="ignore").astype(object).where(values.notna(), None)
    return [texts.reset_index(drop=True)]
