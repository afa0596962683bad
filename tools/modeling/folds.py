"""Folds of the rows: whole groups and copies stay on one side, and nothing is fitted on what comes later."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..data.identity import codes, copies, likely_group
from ..data.split import times_of
from ..errors import ToolFailure, unknown

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

FOLDS = 3
# Into so many bundles a fold the single rows of a class go at least, where there are more of them.
BUNDLES = 50


@dataclass(frozen=True)
class Folds:
    """`pairs` are positions to fit on and to score on; `said` is what they are; `units` number what stays together.

    The rows are cut `rounds` times, one round after the other; within a round no row is scored twice.
    """

    pairs: list[tuple[np.ndarray, np.ndarray]]
    said: str
    units: np.ndarray | None
    notes: list[str]
    rounds: int = 1


def numbered(units: np.ndarray) -> np.ndarray:
    """Numbers from 0 without gaps: of some rows, some units have none."""
    import numpy as np

    return np.unique(units, return_inverse=True)[1]


def units_of(frame: pd.DataFrame, features: pd.DataFrame, group: str) -> tuple[np.ndarray | None, int]:
    """What has to stay together: the rows of a group, else the copies of a row; None where there is nothing.

    Rows without a group are groups of their own. The second answer is how many rows are copies of others.
    """
    import numpy as np

    if group:
        if group not in frame.columns:
            raise unknown("column", group, map(str, frame.columns))
        numbers, missing = codes(frame[group]), frame[group].isna().to_numpy()
        numbers[missing] = len(frame) + np.arange(int(missing.sum()))
        return np.unique(numbers, return_inverse=True)[1], 0
    found = copies(features)
    if not found.stand_out:
        return None, 0
    return found.unit, found.repeats


def doubt(frame: pd.DataFrame, target: str, group: str) -> tuple[str, list[str]]:
    """The column that may say which rows belong together although nobody said so, and a note on it."""
    found = "" if group else likely_group(frame, [target])
    if not found:
        return "", []
    return found, [
        f"rows of one {found} share other columns: if they belong together, pass group={found!r} here and to "
        "split_dataset, else scores come from rows whose like was trained on"
    ]


def folds(
    frame: pd.DataFrame, strata: np.ndarray | None, units: np.ndarray | None, time: str, count: int, seed: int
) -> Folds:
    """Cut labelled rows into folds.

    Args:
        strata: classes or arms to spread evenly, as whole numbers; None for quantities.
        units: what stays together.
        time: a column of times; each fold is then fitted on the units that ended before the rows it scores.

    Raises:
        ToolFailure: too few rows, classes, groups or moments for so many folds.
    """
    if time:
        cut = _in_time(frame, time, count, units)
        _require_all_strata(cut, strata)
        return cut
    import numpy as np
    from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

    smallest = len(frame) if strata is None else int(np.unique(strata, return_counts=True)[1].min())
    _require(smallest, count, "rows" if strata is None else "rows of each class")
    if units is not None:
        _require(int(units.max()) + 1, count, "groups of rows")
    kinds: dict[tuple[bool, bool], Any] = {
        (False, False): KFold, (True, False): StratifiedKFold,
        (False, True): GroupKFold, (True, True): StratifiedGroupKFold,
    }  # fmt: skip
    kind = kinds[strata is not None, units is not None]
    together = units if strata is None or units is None else _bundled(strata, units, count, seed)
    pairs = kind(count, shuffle=True, random_state=seed).split(np.zeros(len(frame)), strata, together)
    whole = "" if units is None else " of whole groups"
    cut = Folds(list(pairs), f"{count} {'stratified ' if strata is not None else ''}folds{whole}", units, [])
    _require_all_strata(cut, strata)
    return cut


def repeated(
    frame: pd.DataFrame,
    strata: np.ndarray | None,
    units: np.ndarray | None,
    time: str,
    count: int,
    seed: int,
    repeats: int,
) -> Folds:
    """`folds` cut several times, each time by another seed; in time they would be the same, so they are cut once."""
    cuts = [folds(frame, strata, units, time, count, seed + each) for each in range(1 if time else repeats)]
    times = f", {len(cuts)} times" if len(cuts) > 1 else ""
    return Folds([pair for cut in cuts for pair in cut.pairs], cuts[0].said + times, units, cuts[0].notes, len(cuts))


def _require_all_strata(cut: Folds, strata: np.ndarray | None) -> None:
    """Whole groups and times can leave a class out of what is fitted, and no model can know it then."""
    import numpy as np

    kinds = 0 if strata is None else len(np.unique(strata))
    for number, (fitted, _) in enumerate(cut.pairs, start=1):
        if strata is not None and len(np.unique(strata[fitted])) < kinds:
            raise ToolFailure(
                f"fold {number} would be fitted on rows of {len(np.unique(strata[fitted]))} of {kinds} classes",
                "Use fewer folds, or a test dataset.",
            )


def _bundled(strata: np.ndarray, units: np.ndarray, count: int, seed: int) -> np.ndarray:
    """The units, with single rows of one class bundled at random into larger ones.

    StratifiedGroupKFold looks at one unit after the other, which takes minutes where a million rows are units of one.
    """
    import numpy as np

    bundled = units.copy()
    single = np.random.default_rng(seed).permutation(np.flatnonzero(np.bincount(units)[units] == 1))
    for stratum in np.unique(strata):
        rows = single[strata[single] == stratum]
        size = max(1, len(rows) // (BUNDLES * count))
        bundled[rows] = bundled[rows[np.arange(len(rows)) // size * size]]
    return bundled


def _require(there: int, count: int, what: str) -> None:
    if there < count:
        raise ToolFailure(
            f"{count} folds need as many {what}, not {there}", "Use fewer folds, more rows, or a validation dataset."
        )


def _in_time(frame: pd.DataFrame, time: str, count: int, units: np.ndarray | None) -> Folds:
    """Each part is scored by what was fitted on all before it (TimeSeriesSplit), but equal times stay together.

    Units that go on into the part are not fitted on: else a row of theirs would be known before it is scored.
    """
    import numpy as np
    import pyarrow as pa

    if time not in frame.columns:
        raise unknown("column", time, map(str, frame.columns))
    moments, notes = times_of(time, pa.chunked_array([pa.Array.from_pandas(frame[time])]))
    place = np.unique(moments, return_inverse=True)[1]
    ordered = np.sort(place)
    cuts = [int(ordered[len(ordered) * part // (count + 1)]) for part in range(1, count + 1)]
    ends = [*cuts[1:], int(ordered[-1]) + 1]
    if cuts[0] == 0 or len({*cuts, ends[-1]}) <= count:
        if (moments_there := len(np.unique(place))) <= count:
            raise ToolFailure(
                f"{count} folds in the order of {time} need {count + 1} different times, not {moments_there}",
                "Use fewer folds, more rows, or a validation dataset.",
            )
        raise ToolFailure(f"too many rows share a {time} to cut {count} folds", "Use fewer folds.")
    last = place if units is None else _last_of(units, place)
    pairs = [
        (np.flatnonzero(last < cut), np.flatnonzero((place >= cut) & (place < end)))
        for cut, end in zip(cuts, ends, strict=True)
    ]
    if not all(len(fitted) for fitted, _ in pairs):
        raise ToolFailure(
            f"no group of rows ends before the part that a fold scores in the order of {time}",
            "Use fewer folds, or leave `group` out if later rows of known groups are to be scored, else `time`.",
        )
    whole = "what came before" if units is None else "groups that ended before"
    return Folds(pairs, f"{count} folds in the order of {time}, each fitted on {whole}", units, notes)


def _last_of(units: np.ndarray, place: np.ndarray) -> np.ndarray:
    """For each row the last place in the order of any row of its unit."""
    import numpy as np

    last = np.full(int(units.max(initial=-1)) + 1, -1, dtype=place.dtype)
    np.maximum.at(last, units, place)
    return last[units]
