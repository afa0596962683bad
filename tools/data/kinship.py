"""Which rows of a split belong together, and what its parts share although they should not."""

# Arrow makes its compute functions when it is imported, out of a checker's sight.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .hashes import kinds_of, numbered, row_hashes_of, within
from .identity import KINDS_OF_ROWS, LOOKED_AT_ROWS, likely_group
from .models import SharedRows
from .profile import comparable
from .rows import Rows
from .shared import sharing
from .split import Shares, Strategy

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

# First rows among which those are looked for that differ.
LOOKED_THROUGH = 10 * LOOKED_AT_ROWS


@dataclass(frozen=True)
class Pair:
    """Two parts of a split, by their places."""

    earlier: int
    later: int


def together(rows: Rows, strategy: Strategy, group: str) -> tuple[np.ndarray, list[str]]:
    """What stays in one part: the rows of a group, else the copies of a row, else each row; and notes on that."""
    import numpy as np
    import pyarrow as pa

    single = np.arange(rows.num_rows, dtype=np.int32 if rows.num_rows < 1 << 30 else np.int64)
    if group:
        hashes, kind = rows.every_hash([group]), rows.schema.field(group).type
        missing = row_hashes_of(pa.table({group: pa.nulls(1, kind)}))[0]
        return np.where(hashes != missing, numbered(hashes), rows.num_rows + single), []
    compared = [name for name in rows.column_names if not _numbers_rows(rows, name)]
    unit = numbered(rows.every_hash(compared)) if compared else np.zeros_like(single)
    kinds = int(unit.max(initial=-1)) + 1
    repeats = rows.num_rows - kinds
    stand_out = len(compared) > 1 and repeats > 0 and kinds >= KINDS_OF_ROWS * rows.num_rows
    notes = [f"{repeats} of {rows.num_rows} rows are copies of others"] if stand_out else []
    if stand_out and strategy != "time":
        return unit, [f"{notes[0]}; copies stay in one part"]
    return single, notes


def shared(rows: Rows, labels: np.ndarray, shares: Shares, target: str) -> tuple[dict[str, SharedRows], list[str]]:
    """What each later part has of an earlier one, and notes on it."""
    plain = [field.name for field in rows.schema if comparable(field.type)]
    if not plain:
        return {}, []
    parts = [labels == place for place in range(len(shares.parts))]
    pairs = [Pair(earlier, place) for place in range(len(parts)) for earlier in range(place)]
    features, label = _features(rows, plain, target, parts, pairs), [target] if target in plain else []
    whole, alike, agreeing = (
        _overlaps(rows, dict.fromkeys(pairs, tuple(plain)), parts),
        _overlaps(rows, features, parts),
        _overlaps(rows, {pair: (*names, *label) for pair, names in features.items()}, parts) if label else {},
    )
    found, notes = dict[str, SharedRows](), list[str]()
    for pair in pairs:
        seen, few = alike[pair]
        other = seen & ~agreeing[pair][0] if label and features[pair] else seen & False
        each = SharedRows(
            rows=int(whole[pair][0].sum()),
            alike=int(seen.sum()),
            conflicting=int(other.sum()) if label else None,
            keys=None,
            chance=few or len(features[pair]) < 2,
        )
        earlier, later = (shares.parts[place] for place in (pair.earlier, pair.later))
        found[f"{later} in {earlier}"] = each
        notes += sharing(each, int(parts[pair.later].sum()), later, earlier)
    return found, notes


def _features(
    rows: Rows, plain: list[str], target: str, parts: Sequence[np.ndarray], pairs: Sequence[Pair]
) -> dict[Pair, tuple[str, ...]]:
    """All columns but the target and those that number the rows of both parts."""
    numbering, kept = _numbering(rows, plain, parts), [name for name in plain if name != target]
    found = {
        pair: tuple(name for name in kept if not {pair.earlier, pair.later} <= numbering.get(name, set()))
        for pair in pairs
    }
    return {pair: names or tuple(kept) for pair, names in found.items()}


def _overlaps(
    rows: Rows, columns: Mapping[Pair, tuple[str, ...]], parts: Sequence[np.ndarray]
) -> dict[Pair, tuple[np.ndarray, bool]]:
    """Which rows of the later part the earlier one has by these columns, and whether there are few kinds of rows."""
    import numpy as np

    found = dict[Pair, tuple[np.ndarray, bool]]()
    for names in dict.fromkeys(columns.values()):
        hashes = rows.every_hash(names)
        for pair in (pair for pair, own in columns.items() if own == names):
            one, two = parts[pair.earlier], parts[pair.later]
            seen = within(hashes[one], hashes[two]) if names else np.zeros(int(two.sum()), dtype=bool)
            found[pair] = seen, kinds_of(hashes[one | two]) < KINDS_OF_ROWS * int(one.sum() + two.sum())
        del hashes
    return found


def straddling(rows: Rows, labels: np.ndarray, shares: Shares, strategy: Strategy, group: str) -> list[str]:
    """What lies in several parts although it seems to belong together, or to come later."""
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    notes, frame = list[str](), rows.head(rows.column_names, LOOKED_THROUGH).to_pandas()
    name = "" if group else likely_group(frame)
    if name:
        apart = pd.Series(labels).groupby(numbered(rows.every_hash([name]))).nunique()
        notes = [
            f"rows of one {name} share other columns, and {int((apart > 1).sum())} of {len(apart)} lie in several "
            f"parts: if they belong together, split with group={name!r}"
        ]
    times = [field.name for field in rows.schema if pa.types.is_timestamp(field.type)] if strategy != "time" else []
    if times:
        at: pd.Series = rows.column(times[0]).to_pandas()
        last = at[labels == len(shares.parts) - 1].min()
        later = int(np.count_nonzero(at[labels == 0] > last))
        notes.append(
            f"{later} rows of train are later than the first of test by {times[0]}: if later rows are to be predicted, "
            f"split with strategy='time', column={times[0]!r}"
        )
    return notes


def _numbering(rows: Rows, names: Sequence[str], parts: Sequence[np.ndarray]) -> dict[str, set[int]]:
    """In which parts a whole number or text is another one in every row."""
    found, sizes = dict[str, set[int]](), [int(part.sum()) for part in parts]
    for name in names:
        if not _may_number(rows, name):
            continue
        hashes = rows.every_hash([name])
        kinds = kinds_of(hashes)
        found[name] = {
            place
            for place, (part, size) in enumerate(zip(parts, sizes, strict=True))
            if 1 < size <= kinds and kinds_of(hashes[part]) == size
        }
    return found


def _numbers_rows(rows: Rows, name: str) -> bool:
    return rows.num_rows > 1 and _may_number(rows, name) and kinds_of(rows.every_hash([name])) == rows.num_rows


def _may_number(rows: Rows, name: str) -> bool:
    """Whether a column is of whole numbers, all of them known, or of what is neither a number nor a time."""
    import pyarrow as pa

    kind = rows.schema.field(name).type
    if pa.types.is_floating(kind) or pa.types.is_boolean(kind) or pa.types.is_timestamp(kind):
        return False
    return not (pa.types.is_duration(kind) or (pa.types.is_integer(kind) and rows.lacks(name)))
