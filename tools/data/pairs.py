"""One column as it is in two datasets: which kind it is there, and its values in a form that can be compared."""

# Arrow makes its compute functions when it is imported, out of a checker's sight.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ..errors import ToolFailure
from .cells import Convention, as_kind
from .models import ReadOptions
from .profile import comparable, without_missing

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

Kind = Literal["number", "category", "text", "time", "identifier", "none"]
NAMES_ROWS = re.compile(r"(?i)(^|_|\b)(id|key|uuid|no|nr|index|row)$|[a-z]Id$|ID$")
# Text of more distinct values than this share of its rows, and more than these in all, has no categories.
WORDY, WORDS = 0.5, 30
FEWEST_ROWS = 10


@dataclass(frozen=True)
class Side:
    """The known values: floats of numbers, int64 microseconds of times, text of all else; and the count of all rows."""

    values: np.ndarray
    rows: int

    @property
    def known(self) -> int:
        return len(self.values)

    @property
    def missing(self) -> int:
        return self.rows - self.known


@dataclass(frozen=True)
class Pair:
    """`reason` says why nothing is tested of a kind "none"; `note` what had to be done to compare."""

    name: str
    kind: Kind
    reference: Side
    current: Side
    whole: bool = False
    reason: str = ""
    note: str = ""

    @property
    def sides(self) -> tuple[Side, Side]:
        return self.reference, self.current


def pair(name: str, reference: pa.ChunkedArray, current: pa.ChunkedArray) -> Pair:
    """The two columns as one kind; text of numbers is read as numbers where the other column holds numbers."""
    import pyarrow as pa

    types = (reference.type, current.type)
    if not all(comparable(kind) for kind in types):
        return _untested(name, reference, current, "nested values are not compared")
    note, kinds = "", {_family(kind) for kind in types} - {"null"}
    if kinds == {"number", "text"}:
        reference, current, note = _as_numbers(name, reference, current)
        kinds = {"number"} if note else kinds
    if len(kinds) > 1 and kinds != {"number", "boolean"}:
        said = f"{types[0]} in the reference, {types[1]} in the current: not compared"
        return _untested(name, reference, current, said)
    family = "number" if len(kinds) > 1 else next(iter(kinds), "null")
    sides = [Side(_values(column, family), len(column)) for column in (reference, current)]
    whole = all(pa.types.is_integer(column.type) for column in (reference, current))
    return Pair(name, _kind(name, family, whole, sides), sides[0], sides[1], whole, note=note)


def _untested(name: str, reference: pa.ChunkedArray, current: pa.ChunkedArray, reason: str) -> Pair:
    import numpy as np

    sides = [Side(np.zeros(len(column) - column.null_count), len(column)) for column in (reference, current)]
    return Pair(name, "none", sides[0], sides[1], reason=reason)


def _family(kind: pa.DataType) -> str:
    import pyarrow as pa

    if pa.types.is_timestamp(kind):
        return "time"
    if pa.types.is_null(kind):
        return "null"
    if pa.types.is_boolean(kind):
        return "boolean"
    numeric = pa.types.is_integer(kind) or pa.types.is_floating(kind)
    return "number" if numeric or pa.types.is_temporal(kind) else "text"


def _as_numbers(
    name: str, reference: pa.ChunkedArray, current: pa.ChunkedArray
) -> tuple[pa.ChunkedArray, pa.ChunkedArray, str]:
    """Both with the text among them as numbers; without a note if it holds none."""
    import pyarrow as pa

    read, bad = list[pa.ChunkedArray](), 0
    for column in (reference, current):
        if not pa.types.is_string(column.type):
            read.append(column)
            continue
        try:
            found = as_kind(name, column, "number", Convention(), ReadOptions(bad_cells="null")).values
        except ToolFailure:
            return reference, current, ""
        bad += found.null_count - column.null_count
        if not _is_number(found.type) or 2 * (len(found) - found.null_count) < len(column) - column.null_count:
            return reference, current, ""
        read.append(found)
    said = f"text in one dataset, compared as numbers; {bad} cells are no numbers" if bad else "text in one dataset"
    return read[0], read[1], said


def _is_number(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return pa.types.is_integer(kind) or pa.types.is_floating(kind)


def _values(column: pa.ChunkedArray, family: str) -> np.ndarray:
    import numpy as np
    import pyarrow as pa

    known = without_missing(column)
    if family == "number":
        if pa.types.is_temporal(known.type):
            known = known.cast(pa.int32() if known.type.bit_width == 32 else pa.int64())
        return known.to_numpy().astype(float) if not pa.types.is_boolean(known.type) else np.array(known, dtype=float)
    if family == "time":
        zone = known.type.tz
        return known.cast(pa.timestamp("us", zone), safe=False).cast(pa.int64()).to_numpy()
    return np.asarray(known.cast(pa.string()).to_pylist(), dtype=object)


def _kind(name: str, family: str, whole: bool, sides: list[Side]) -> Kind:
    if family in ("time", "boolean", "null"):
        return "time" if family == "time" else "category"
    if family == "text" or whole:
        distinct = [len(set(side.values.tolist())) for side in sides]
        every = all(
            side.known >= FEWEST_ROWS and side.known == count for side, count in zip(sides, distinct, strict=True)
        )
        if every and (family == "text" or NAMES_ROWS.search(name) or all(_dense(side) for side in sides)):
            return "identifier"
        if family == "text":
            return "text" if _wordy(sides) else "category"
    return "number"


def _dense(side: Side) -> bool:
    """Whether whole numbers that do not repeat count rows, or nearly."""
    return bool(side.values.max() - side.values.min() < 2 * side.known)


def _wordy(sides: list[Side]) -> bool:
    distinct, known = len({text for side in sides for text in side.values}), sum(side.known for side in sides)
    return distinct > max(WORDY * known, WORDS)
