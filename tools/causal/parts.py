"""Segments of rows: quantile bins of a column of numbers or times, levels of any other; also of two columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import TYPE_CHECKING

from ..modeling.arms import named

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

# Numbers of no more distinct values are levels; of more levels the rarest share a segment.
BINS, FEW_NUMBERS, MOST_LEVELS = 4, 6, 8
MISSING = "(missing)"


@dataclass(frozen=True)
class Part:
    """A segment of a column, or of two columns, and which rows it holds, as a mask."""

    column: str
    name: str
    rows: np.ndarray


def parts(values: pd.Series) -> list[Part]:
    """The segments of a column, missing values among them; each row is in one."""
    texts = _binned(values) if values.dtype.kind in "iufMm" and values.nunique() > FEW_NUMBERS else _levels(values)
    return [
        Part(str(values.name), str(name), (texts == name).to_numpy(dtype=bool))
        for name in texts.cat.categories
        if (texts == name).any()
    ]


def crossed(first: Sequence[Part], second: Sequence[Part]) -> list[Part]:
    """The segments of two columns together."""
    return [
        Part(f"{one.column} & {two.column}", f"{one.name} & {two.name}", one.rows & two.rows)
        for one in first
        for two in second
    ]


def pairs(every: Sequence[Sequence[Part]]) -> list[Part]:
    """The segments of any two of the columns together."""
    return [part for first, second in combinations(every, 2) for part in crossed(first, second)]


def _binned(values: pd.Series) -> pd.Series:
    """Cut at the quartiles; a value that many rows have, such as 0, is not cut through."""
    import numpy as np

    quartiles = values.quantile([place / BINS for place in range(1, BINS)], interpolation="lower")
    cuts = [cut for cut in quartiles.drop_duplicates() if cut < values.max()]
    ends = [f"{cut:.6g}" if values.dtype.kind in "iuf" else str(cut) for cut in cuts]
    between = [f"{low} < .. <= {high}" for low, high in pairwise(ends)]
    names = [f"<= {ends[0]}", *between, f"> {ends[-1]}"]
    made = np.array(names, dtype=object)[np.sum([(values > cut).to_numpy() for cut in cuts], axis=0)]
    return values.astype(object).where(values.isna(), made).fillna(MISSING).astype(_ordered(names))


def _levels(values: pd.Series) -> pd.Series:
    known = named(values.dropna()).map(_name)
    counts = known.value_counts()
    kept = counts.index[:MOST_LEVELS] if len(counts) > MOST_LEVELS + 1 else counts.index
    rest = f"(the other {len(counts) - len(kept)})"
    texts = known.where(known.isin(kept), rest).reindex(values.index, fill_value=MISSING)
    return texts.astype(_ordered([*sorted(kept, key=_as_number), rest]))


def _name(value: object) -> str:
    return f"{value:.15g}" if isinstance(value, float) else str(value)


def _as_number(name: str) -> tuple[float, str]:
    try:
        return float(name), name
    except ValueError:
        return 0.0, name


def _ordered(names: Sequence[str]) -> pd.CategoricalDtype:
    import pandas as pd

    return pd.CategoricalDtype([*dict.fromkeys(names), MISSING], ordered=True)
