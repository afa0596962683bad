"""Which columns of some rows are far from what they are in others: what a warning or a gate stands on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from .drift import MISSING, tested
from .pairs import Pair, Side

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Far:
    """How far apart the distributions of a column are: 0 for equal ones, 1 for disjoint ones."""

    column: str
    distance: float


def far_columns(
    one: pd.DataFrame,
    two: pd.DataFrame,
    kinds: Mapping[str, Literal["number", "category"]],
    distance: float,
    level: float,
    independent: int | None = None,
) -> list[Far]:
    """The columns that are at least so far apart by a test at this level, the farthest first.

    The tests are those of `drift.tested`: of the known values, and of how many are missing. A level is for all columns
    together (Bonferroni).

    Args:
        independent: how many groups of rows `two` has, if its rows are not independent.
    """
    share = (independent or len(two)) / max(len(two), 1)
    found = [
        Far(name, apart)
        for name, kind in kinds.items()
        for apart, p_value in [_apart(name, one[name], two[name], kind, share)]
        if apart >= distance and p_value * len(kinds) < level
    ]
    return sorted(found, key=lambda each: -each.distance)


def _apart(
    name: str, one: pd.Series, two: pd.Series, kind: Literal["number", "category"], share: float
) -> tuple[float, float]:
    """The distance of what chance explains least, the values or that they are missing, and its p value."""
    sides = [_side(column, kind) for column in (one, two)]
    item = tested(Pair(name, kind, sides[0], sides[1]), share)
    if not item.p_values:
        return 0.0, 1.0
    test = min(item.p_values, key=lambda each: item.p_values[each])
    missing = abs(sides[0].missing / sides[0].rows - sides[1].missing / sides[1].rows)
    return missing if test == MISSING else item.distance or 0.0, item.p_values[test]


def _side(column: pd.Series, kind: Literal["number", "category"]) -> Side:
    known = column.dropna()
    return Side(known.to_numpy(dtype=float) if kind == "number" else known.astype(str).to_numpy(), len(column))
