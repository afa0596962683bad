"""Which part of a split each row belongs to."""

# Arrow makes its compute functions when it is imported, out of a checker's sight.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ..errors import ToolFailure
from ..numbers import finite
from .bounds import named
from .profile import comparable, moment, without_missing

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

# Rows whose ranks are in memory at once, and the label of one that is in no part.
BLOCK, NOWHERE = 1 << 20, -1
Strategy = Literal["random", "stratified", "group", "time"]
LIKE_ISO = r"^\d{4}-\d\d-\d\d([ T]\d\d|$)"
IN_ORDER = "train ends before validation begins, and that before test"


@dataclass(frozen=True)
class Shares:
    """What part of the rows validation and test get; train gets the rest."""

    validation: float
    test: float

    @property
    def parts(self) -> list[str]:
        return ["train", *(["validation"] if self.validation else []), "test"]

    def cut(self, rank: np.ndarray) -> np.ndarray:
        """The parts of rows, by their place in `parts`, by their rank, which runs from above 0 to 1."""
        import numpy as np

        train_end, validation_end = 1 - self.validation - self.test, 1 - self.test
        labels = np.zeros(len(rank), dtype=np.int8)
        labels[rank > train_end + 1e-12] = 1
        labels[rank > validation_end + 1e-12] = len(self.parts) - 1
        return labels

    def shuffled(self, units: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """Labels of rows in a random order of their units, each of which stays in one part."""
        import numpy as np

        place, sizes = _sizes(units)
        order = random.permutation(len(sizes)).astype(units.dtype)
        middle, before = np.empty(len(sizes)), 0
        for start in range(0, len(order), BLOCK):
            some = order[start : start + BLOCK]
            ends = np.cumsum(sizes[some]) + before
            middle[some], before = ends - (sizes[some] - 1) / 2, int(ends[-1])
        del order, sizes
        return np.concatenate(
            [
                middle[:0].astype(np.int8),
                *(self.cut(middle[place[start : start + BLOCK]] / len(units)) for start in range(0, len(units), BLOCK)),
            ]
        )


def _sizes(units: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The place of each row's unit among the units in their order, and how many rows each has."""
    import numpy as np

    if len(units) and (units[1:] > units[:-1]).all():
        return np.arange(len(units), dtype=units.dtype), np.ones(len(units), dtype=np.int32)
    _, place, sizes = np.unique(units, return_inverse=True, return_counts=True)
    return place, sizes


def by_chance(units: np.ndarray, shares: Shares, seed: int) -> np.ndarray:
    """Args: `units` number the rows that stay together."""
    import numpy as np

    return shares.shuffled(units, np.random.default_rng(seed))


def by_time(
    name: str, column: pa.ChunkedArray, shares: Shares, groups: np.ndarray | None = None
) -> tuple[np.ndarray, list[str]]:
    """The latest rows are the test part; equal times share a rank, so that no moment lies on both sides of a cut.

    Args:
        groups: numbers of what may not lie in two parts; rows before the part in which their group ends have none.
    """
    import numpy as np

    times, notes = times_of(name, column)
    ordered = np.sort(times)
    labels = np.empty(len(times), dtype=np.int8)
    for start in range(0, len(times), BLOCK):
        some = times[start : start + BLOCK]
        before, through = (np.searchsorted(ordered, some, side) for side in ("left", "right"))
        labels[start : start + BLOCK] = shares.cut((before + through + 1) / 2 / len(times))
    ties = _ties(name, shares, ordered)
    if groups is None:
        return labels, [IN_ORDER, *notes, *ties]
    numbers = np.unique(groups, return_inverse=True)[1]
    last = np.zeros(int(numbers.max(initial=-1)) + 1, dtype=np.int8)
    np.maximum.at(last, numbers, labels)
    going_on = labels < last[numbers]
    labels[going_on] = NOWHERE
    left = [f"{going_on.sum()} rows of groups that go on into a later part are in none"] if going_on.any() else []
    return labels, [IN_ORDER, *notes, *ties, *left]


def _ties(name: str, shares: Shares, ordered: np.ndarray) -> list[str]:
    """How many rows have the time at which a cut by count would fall, and are kept together instead."""
    import numpy as np

    count, tied = len(ordered), 0
    cuts = [
        shares.cut(np.arange(start, min(start + BLOCK, count) + 1) / max(count, 1)) for start in range(1, count, BLOCK)
    ]
    ends = [place * BLOCK + end for place, cut in enumerate(cuts) for end in np.flatnonzero(cut[1:] != cut[:-1])]
    for end in ends:
        if ordered[end] == ordered[end + 1]:
            first, last = (np.searchsorted(ordered, ordered[end], side) for side in ("left", "right"))
            tied += int(last - first)
    return [f"{tied} rows share the {name} at a cut and stay in one part"] if tied else []


def by_class(
    name: str, column: pa.ChunkedArray, units: np.ndarray, shares: Shares, seed: int
) -> tuple[np.ndarray, list[str]]:
    """Every class in the same shares; one that is too small for all parts goes to train.

    A unit of rows that stay together counts for the class of its first row.
    """
    import numpy as np

    own, classes = _classes(name, column)
    _, first, place = np.unique(units, return_index=True, return_inverse=True)
    class_of = own[first][place]
    random = np.random.default_rng(seed)
    labels, small = np.zeros(len(own), dtype=np.int8), list[int]()
    order, counts = np.argsort(class_of, kind="stable"), np.bincount(class_of, minlength=len(classes))
    ends = np.cumsum(counts)
    for code, (count, end) in enumerate(zip(counts.tolist(), ends.tolist(), strict=True)):
        rows = order[end - count : end]
        parts = shares.shuffled(units[rows], random) if count >= len(shares.parts) else labels[:0]
        if len(np.unique(parts)) == len(shares.parts):
            labels[rows] = parts
        elif count:
            small.append(code)
    if len(small) == np.count_nonzero(counts):
        raise _all_too_small(name, np.bincount(own[first], minlength=len(classes)), len(own) - len(first), shares)
    too_few = named(f"{str(classes[code])[:40]!r} ({counts[code]})" for code in small)
    return labels, [f"too few rows for every part, so all in train: {too_few}"] if small else []


def ends(name: str, column: pa.ChunkedArray) -> tuple[str, str]:
    """The first and the last time, as they are written in the data."""
    times, _ = times_of(name, column)
    return moment(column[int(times.argmin())]), moment(column[int(times.argmax())])


def positive_rate(column: pa.ChunkedArray) -> float | None:
    """The mean of a column of 0 and 1; None of any other."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind, known = column.type, without_missing(column)
    if not (pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        return None
    limits = pc.min_max(known)
    binary = pc.count_distinct(known).as_py() <= 2 and {limits["min"].as_py(), limits["max"].as_py()} <= {0, 1}
    return finite(pc.mean(known.cast(pa.float64(), safe=False)).as_py()) if binary else None


def _all_too_small(name: str, counts: np.ndarray, joined: int, shares: Shares) -> ToolFailure:
    """Args: `counts` are the units of each class, and `joined` the rows that stay with another one."""
    most, what = int(counts.max()) if len(counts) else 0, "groups or copies of rows" if joined else "rows"
    way_out = "strategy='group', which looks at no classes" if joined else "strategy='random'"
    return ToolFailure(
        f"{name} has {len(counts)} classes of at most {most} {what}, too few to put each in {', '.join(shares.parts)}",
        f"Stratify by a column with fewer classes, use larger shares, validation_share=0, or {way_out}.",
    )


def require_groups(name: str, units: np.ndarray, shares: Shares) -> None:
    """Raises ToolFailure for fewer groups than parts: each stays in one."""
    import numpy as np

    if (count := len(np.unique(units))) < len(shares.parts):
        least, of = ", or validation_share=0" if count > 1 else "", "group" if count == 1 else "groups"
        raise ToolFailure(
            f"{name} has {count} {of}, and each of {', '.join(shares.parts)} needs one",
            f"Pass a `group` with more values, none if rows are independent{least}.",
        )


def _classes(name: str, column: pa.ChunkedArray) -> tuple[np.ndarray, Sequence[object]]:
    """The class of each row as a position in the list of classes; missing is a class."""
    import pyarrow as pa

    if not comparable(column.type):
        raise ToolFailure(f"{name} holds {column.type}, which has no classes", "Stratify by a plain column.")
    chunks = column.dictionary_encode(null_encoding="encode").chunks
    codes = pa.chunked_array([chunk.indices for chunk in chunks], pa.int32()).to_numpy()
    return codes, chunks[-1].dictionary.to_pylist() if chunks else []


def times_of(name: str, column: pa.ChunkedArray) -> tuple[np.ndarray, list[str]]:
    """The column as numbers or times that numpy can sort.

    Raises:
        ToolFailure: its values have no order in time, or some are missing.
    """
    import numpy as np
    import pyarrow as pa

    kind, notes = column.type, list[str]()
    missing = ToolFailure(
        f"{name} has missing times", f"Keep the others by query_dataset: WHERE {name} IS NOT NULL; or split at random."
    )
    if column.null_count:
        raise missing
    if pa.types.is_string(kind):
        column, notes = _parsed(name, column), [f"{name} is text, ordered as ISO-8601 times"]
    elif not (pa.types.is_timestamp(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise _notimes(name, f"holds {kind}, which has no order in time")
    times = column.to_numpy()
    if np.isnan(times).any():
        raise missing
    return times, notes


def _parsed(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    import pyarrow as pa
    import pyarrow.compute as pc

    for target in (pa.timestamp("us"), pa.timestamp("us", "UTC"), pa.timestamp("ns"), pa.timestamp("ns", "UTC")):
        try:
            return column.cast(target)
        except pa.ArrowInvalid:
            continue
    other = max(pc.index(pc.match_substring_regex(column, LIKE_ISO), False).as_py(), 0)
    text = str(column[other].as_py())[:40]
    raise _notimes(name, f"holds text that is no ISO-8601 time, e.g. {text!r}, and letters have no order in time")


def _notimes(name: str, why: str) -> ToolFailure:
    way_out = "Pass a column of times or numbers, make one by query_dataset (strptime), or split at random."
    return ToolFailure(f"{name} {why}", way_out)
