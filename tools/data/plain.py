"""Cells in the plainest form, which most files have: far faster than to look at how each is written."""

# Arrow makes its compute functions when it is imported, out of a checker's sight.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .numerals import Decimal, proves_point

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

# What Arrow, pandas and spreadsheets write for a missing value; each but the first has a letter.
MISSING = (
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "N/A", "NA", "NULL",
    "NaN", "n/a", "nan", "null", "None", "<NA>", "NaT", "#DIV/0!", "#VALUE!", "#REF!", "#NUM!", "#NAME?", "#NULL!",
)  # fmt: skip
NOT_PLAIN = r"^[+-]?0\d|^-?\d{16}|^\+"
# Digits with an exponent alone, such as 1E5, may be a code.
CODE = r"^\d+[eE]"
DIGITS_LOST = 16
PEEK = 1000
# All that plain numbers and times consist of.
PLAIN_BYTES = b"0123456789.-: T"
EXPONENTS = b"eE+"
ZERO, NINE, MINUS = b"09-"
FEW_DECIMALS = 2


@dataclass(frozen=True)
class Plain:
    """The cells of a column as numbers or times, and which decimal mark they prove."""

    values: pa.ChunkedArray
    decimal: Decimal = ""


@dataclass(frozen=True)
class _Look:
    """What the bytes of a column say at a glance.

    `others` are those of no plain number or time, and `marked` the rows that hold one of an exponent, or a plus; `led`
    are those of which a number would lose a zero at the front, `long` those that may have too many digits; `whole` says
    that what is a whole number is written as one; `blank` that some cells are empty.
    """

    others: bytes
    points: bool
    blank: bool
    whole: bool
    led: np.ndarray
    long: np.ndarray
    marked: np.ndarray

    @property
    def wordless(self) -> bool:
        """Whether no cell can be one of the usual words for a missing value: they have other letters than an e."""
        return not self.others.translate(None, EXPONENTS)


def plain_values(column: pa.ChunkedArray, decimal: Decimal, missing: Sequence[str]) -> Plain | None:
    """The cells as whole numbers, digits with points, or ISO-8601 times; None unless all are plainly so."""
    import pyarrow as pa

    if _is_wordy(column, missing):
        return None
    look = _looked_at(column)
    known = _known(column, missing, look)
    if known.null_count == len(known):
        return None
    whole = cast(known, pa.int64())
    if whole is not None and (look.whole or _returns(whole, known)):
        return Plain(whole)
    if decimal != "," and (real := _real(known, look)):
        return real
    times = cast(known, pa.timestamp("us")) if _is_dated(known) else None
    return None if times is None else Plain(times)


def cast(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray | None:
    import pyarrow as pa

    try:
        # Arrow writes a message for each cell of a piece that it cannot take.
        column.slice(0, PEEK).cast(kind)
        return column.cast(kind)
    except pa.ArrowInvalid:
        return None


def _is_wordy(column: pa.ChunkedArray, missing: Sequence[str]) -> bool:
    """Whether the first cells are neither numbers nor times, so that not all are."""
    import pyarrow as pa

    head = _without(column.slice(0, PEEK), missing)
    return all(cast(head, kind) is None for kind in (pa.float64(), pa.int64(), pa.timestamp("us")))


def _without(column: pa.ChunkedArray, words: Sequence[str]) -> pa.ChunkedArray:
    import pyarrow as pa
    import pyarrow.compute as pc

    gone = pc.is_in(column, value_set=pa.array(words, column.type))
    return pc.if_else(gone, pa.scalar(None, column.type), column)


def _known(column: pa.ChunkedArray, missing: Sequence[str], look: _Look) -> pa.ChunkedArray:
    """The cells that are not missing; words that cannot be among them are not looked for, which is slow."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not (look.wordless and set(missing) <= set(MISSING)):
        return _without(column, missing)
    if not (look.blank and "" in missing):
        return column
    return pc.if_else(pc.equal(column, ""), pa.scalar(None, column.type), column)


def _looked_at(column: pa.ChunkedArray) -> _Look:
    import numpy as np

    looks = [_look_at(chunk) for chunk in column.chunks]
    none = np.zeros(0, dtype=bool)
    return _Look(
        others=bytes(set(b"".join(look.others for look in looks))),
        points=any(look.points for look in looks),
        blank=any(look.blank for look in looks),
        whole=all(look.whole for look in looks),
        led=np.concatenate([none, *(look.led for look in looks)]),
        long=np.concatenate([none, *(look.long for look in looks)]),
        marked=np.concatenate([none, *(look.marked for look in looks)]),
    )


def _look_at(chunk: pa.Array) -> _Look:
    import numpy as np

    text, ends = _bytes_of(chunk)
    starts, sizes = ends[:-1], np.diff(ends)
    # So that each cell has a second byte and a third to look at, be they its own or not.
    marks = np.frombuffer(text + b"   ", dtype=np.uint8)
    first, second, signed = marks[starts], marks[starts + 1], np.zeros(len(chunk), dtype=bool)
    if b"-" in text:
        signed = (first == MINUS) & (sizes > 0)
        first, second = np.where(signed, second, first), np.where(signed, marks[starts + 2], second)
    digits = sizes - signed
    zero = (first == ZERO) & (digits > 0)
    others = bytes(set(text.translate(None, PLAIN_BYTES)))
    return _Look(
        others=others,
        points=b"." in text,
        blank=bool((sizes == 0).any()),
        whole=not (zero & (signed | (digits > 1))).any() and b"+" not in others,
        led=zero & (digits > 1) & (second >= ZERO) & (second <= NINE),
        long=digits >= DIGITS_LOST,
        marked=_rows_with(marks, ends, others),
    )


def _bytes_of(chunk: pa.Array) -> tuple[bytes, np.ndarray]:
    """The cells one after the other, and where each begins and the last one ends."""
    import numpy as np
    import pyarrow as pa

    _, places, held = chunk.buffers()
    if not len(chunk) or held is None:
        return b"", np.zeros(len(chunk) + 1, dtype=np.int32)
    wide = np.int64 if pa.types.is_large_string(chunk.type) else np.int32
    ends = np.frombuffer(places, dtype=wide)[chunk.offset : chunk.offset + len(chunk) + 1]
    return bytes(memoryview(held)[ends[0] : ends[-1]]), ends - ends[0]


def _rows_with(marks: np.ndarray, ends: np.ndarray, others: bytes) -> np.ndarray:
    """The cells with an exponent or a plus, which most columns have none of."""
    import numpy as np

    found = np.zeros(len(ends) - 1, dtype=bool)
    if wanted := [mark for mark in others if mark in EXPONENTS]:
        found[np.searchsorted(ends, np.flatnonzero(np.isin(marks, wanted)), side="right") - 1] = True
    return found


def _returns(whole: pa.ChunkedArray, known: pa.ChunkedArray) -> bool:
    """Whether the numbers are written as the cells are."""
    import pyarrow.compute as pc

    return bool(pc.all(pc.equal(pc.cast(whole, known.type), known)).as_py())


def _real(known: pa.ChunkedArray, look: _Look) -> Plain | None:
    """Digits with points. Where some end with a zero, few and differing decimals are those of versions."""
    import pyarrow as pa
    import pyarrow.compute as pc

    real = cast(known, pa.float64())
    if real is None or pc.any(pc.is_inf(real)).as_py() or _is_odd(known, look):
        return None
    marked = pa.array(look.marked) if look.marked.any() else None
    powers = known.filter(marked).drop_null() if marked is not None else known.slice(0, 0)
    zeros = look.points and pc.any(pc.and_(pc.ends_with(known, "0"), pc.match_substring(known, "."))).as_py()
    if not zeros and not pc.any(pc.match_substring_regex(powers, CODE)).as_py():
        return Plain(real)
    if not len(powers):
        low, high = _decimals(known)
        return None if 0 < low < high <= FEW_DECIMALS else Plain(real, "." if proves_point(known) else "")
    if pc.any(pc.is_nan(real)).as_py():
        return None  # a word such as NAN, which is none of the usual ones
    others = known.filter(pc.invert(marked))
    low, high = _decimals(others) if others.null_count < len(others) else (1, 1)
    # Then those of the cells with an exponent change nothing.
    return Plain(real, ".") if (low == 0 or high > FEW_DECIMALS) and proves_point(others) else None


def _decimals(known: pa.ChunkedArray) -> tuple[int, int]:
    """The fewest and the most decimals of a cell."""
    found = [_decimals_of(chunk) for chunk in known.chunks if chunk.null_count < len(chunk)]
    return min(low for low, _ in found), max(high for _, high in found)


def _decimals_of(cells: pa.Array) -> tuple[int, int]:
    import pyarrow.compute as pc

    place = pc.find_substring(cells, ".")
    decimals = pc.if_else(pc.less(place, 0), 0, pc.subtract(pc.subtract(pc.binary_length(cells), place), 1))
    limits = pc.min_max(decimals).as_py()
    return limits["min"], limits["max"]


def _is_odd(known: pa.ChunkedArray, look: _Look) -> bool:
    """Whether any cell is not plain. The pattern is slow, so that only cells are looked at that may fit it."""
    import pyarrow as pa
    import pyarrow.compute as pc

    doubted = look.led | look.marked
    if look.long.any():
        place = pc.find_substring(known, ".").fill_null(0).to_numpy()
        doubted = doubted | (look.long & ((place < 0) | (place >= DIGITS_LOST)))
    cells = known.filter(pa.array(doubted)) if doubted.any() else known.slice(0, 0)
    return bool(pc.any(pc.match_substring_regex(cells, NOT_PLAIN)).as_py())


def _is_dated(known: pa.ChunkedArray) -> bool:
    """Whether the first cells begin as ISO-8601 does."""
    import pyarrow.compute as pc

    return bool(pc.all(pc.match_substring_regex(known.slice(0, PEEK), r"^\d{4}-\d\d-\d\d")).as_py())
