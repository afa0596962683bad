"""Rows that two sets of rows share: what a model has seen of the one says nothing of the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .bounds import percent
from .identity import KINDS_OF_ROWS, numbers_rows, row_hashes
from .models import SharedRows

if TYPE_CHECKING:
    import pandas as pd


def shared_rows(one: pd.DataFrame, two: pd.DataFrame, target: str = "", key: str = "") -> SharedRows:
    """How many rows of the second are in the first, by all columns and by all but identifiers, key and target.

    Both have the same columns.
    """
    import numpy as np

    features = feature_columns(one, two, (target, key))
    alike = [row_hashes(frame[features]) for frame in (one, two)] if features else []
    seen = np.isin(alike[1], alike[0]) if alike else np.zeros(len(two), dtype=bool)
    agreeing = seen
    if target in one.columns and features:
        labelled = [row_hashes(frame[[*features, target]]) for frame in (one, two)]
        agreeing = np.isin(labelled[1], labelled[0])
    whole = [row_hashes(frame) for frame in (one, two)]
    return SharedRows(
        rows=int(np.isin(whole[1], whole[0]).sum()),
        alike=int(seen.sum()),
        conflicting=int((seen & ~agreeing).sum()) if target in one.columns else None,
        keys=_keys(one[key], two[key]) if key else None,
        chance=len(features) < 2 or len(np.unique(np.concatenate(alike))) < KINDS_OF_ROWS * (len(one) + len(two)),
    )


def feature_columns(one: pd.DataFrame, two: pd.DataFrame, leave_out: Sequence[str]) -> list[str]:
    """All columns but those that are left out and those that number the rows."""
    numbering = [name for name in one.columns if numbers_rows(one[name]) and numbers_rows(two[name])]
    kept = [name for name in one.columns if name not in leave_out]
    return [name for name in kept if name not in numbering] or kept


def sharing(found: SharedRows, rows: int, of: str, there: str) -> list[str]:
    """Notes on what is shared; none where rows repeat for want of other ones."""
    if found.chance or not (found.rows or found.alike):
        return [f"{found.keys} keys are in both"] if found.keys else []
    shared = max(found.rows, found.alike)
    known = f", {found.conflicting} of them with another target" if found.conflicting else ""
    notes = [f"{shared} of {rows} rows of {of} ({percent(shared, rows)}) are in {there} as well{known}"]
    return [*notes, *([f"{found.keys} keys are in both"] if found.keys else [])]


def _keys(one: pd.Series, two: pd.Series) -> int:
    import numpy as np

    known = [np.unique(row_hashes(keys.dropna().to_frame())) for keys in (one, two)]
    return len(np.intersect1d(known[0], known[1]))
