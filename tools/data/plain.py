"""Cells in the plainest form, which most files have: far faster than to look at how each is written."""

# Arrow makes its compute functions when it is imported, out of a checker's sight.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from .numerals import Decimal, proves_point
from .pieces import Stored

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
EXPONENTS = b"eE+"
ZERO, NINE, MINUS, SLASH = b"09-/"
# All that plain numbers and times consist of: from the minus to the colon without the slash, and these.
SPAN, PLAIN_BYTES = b":"[0] - MINUS, b" T"
FEW_DECIMALS = 2
# What numbers have of which a closer look is taken.
CLOSER = frozenset(("zeros", "code"))


@dataclass(frozen=True)
class Plain:
    """The cells of a column as numbers or times, and which decimal mark they prove."""

    values: pa.ChunkedArray
    decimal: Decimal = ""


@dataclass(frozen=True)
class Look:
    """What the bytes of a column say at a glance.

    `others` are those of no plain number or time, and `marked` the rows that hold one of an exponent, or a plus; `led`
    are those of which a number would lose a zero at the front, `trailed` those that end with one, `long` those that may
    have too many digits; `whole` says that what is a whole number is written as one; `blank` that some cells are empty.
    """

    others: bytes
    blank: bool
    whole: bool
    led: np.ndarray
    trailed: np.ndarray
    long: np.ndarray
    marked: np.ndarray

    @property
    def wordless(self) -> bool:
        """Whether no cell can be one of the usual words for a missing value: they have other letters than an e."""
        return not self.others.translate(None, EXPONENTS)


@dataclass(frozen=True)
class _Seen:
    """The known cells of a column, piece by piece, each with a look at them; what is in memory is looked at once."""

    column: pa.ChunkedArray | Stored
    missing: Sequence[str]

    @cached_property
    def _whole(self) -> tuple[pa.ChunkedArray, Look]:
        assert not isinstance(self.column, Stored)
        return self._of(self.column)

    def __iter__(self) -> Iterator[tuple[pa.ChunkedArray, Look]]:
        if isinstance(self.column, Stored):
            yield from map(self._of, self.column.pieces())
        else:
            yield self._whole

    def _of(self, piece: pa.ChunkedArray) -> tuple[pa.ChunkedArray, Look]:
        look = looked_at(piece)
        return known_cells(piece, self.missing, look), look

    def read(self, values_of: Callable[[pa.ChunkedArray, Look], pa.ChunkedArray | None]) -> pa.ChunkedArray | None:
        """All cells as values; None where some piece has none, or nothing is known."""
        import pyarrow as pa

        found: list[pa.ChunkedArray | int] = []
        for known, look in self:
            if known.null_count == len(known):
                found.append(len(known))
                continue
            if (values := values_of(known, look)) is None:
                return None
            found.append(values)
        kind = next((each.type for each in found if not isinstance(each, int)), None)
        if kind is None:
            return None
        chunks = (pa.chunked_array([pa.nulls(each, kind)]) if isinstance(each, int) else each for each in found)
        return pa.chunked_array([chunk for each in chunks for chunk in each.chunks], kind)

    def without_powers(self) -> Iterator[pa.ChunkedArray]:
        for known, look in self:
            yield without_powers(known, look)


def without_powers(known: pa.ChunkedArray, look: Look) -> pa.ChunkedArray:
    """The cells that have no exponent and no plus."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return known.filter(pc.invert(pa.array(look.marked))) if look.marked.any() else known


def plain_values(column: pa.ChunkedArray | Stored, decimal: Decimal, missing: Sequence[str]) -> Plain | None:
    """The cells as whole numbers, digits with points, or ISO-8601 times; None unless all are plainly so."""
    head = column.slice(0, PEEK)
    if is_wordy(head, missing):
        return None
    seen = _Seen(column, missing)
    if (whole := seen.read(whole_values)) is not None:
        return Plain(whole)
    if decimal != "," and (real := _real(seen)):
        return real
    times = seen.read(time_values) if is_dated(without(head, missing)) else None
    return None if times is None else Plain(times)


def whole_values(known: pa.ChunkedArray, look: Look) -> pa.ChunkedArray | None:
    import pyarrow as pa

    whole = cast(known, pa.int64())
    return whole if whole is not None and (look.whole or _returns(whole, known)) else None


def time_values(known: pa.ChunkedArray, _: Look) -> pa.ChunkedArray | None:
    import pyarrow as pa

    return cast(known, pa.timestamp("us"))


def cast(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray | None:
    import pyarrow as pa

    try:
        # Arrow writes a message for each cell of a piece that it cannot take.
        column.slice(0, PEEK).cast(kind)
        return column.cast(kind)
    except pa.ArrowInvalid:
        return None


def is_wordy(column: pa.ChunkedArray, missing: Sequence[str]) -> bool:
    """Whether the first cells are neither numbers nor times, so that not all are."""
    import pyarrow as pa

    head = without(column.slice(0, PEEK), missing)
    return all(cast(head, kind) is None for kind in (pa.float64(), pa.int64(), pa.timestamp("us")))


def without(column: pa.ChunkedArray, words: Sequence[str]) -> pa.ChunkedArray:
    import pyarrow as pa
    import pyarrow.compute as pc

    gone = pc.is_in(column, value_set=pa.array(words, column.type))
    return pc.if_else(gone, pa.scalar(None, column.type), column)


def known_cells(column: pa.ChunkedArray, missing: Sequence[str], look: Look) -> pa.ChunkedArray:
    """The cells that are not missing; words that cannot be among them are not looked for, which is slow."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not (look.wordless and set(missing) <= set(MISSING)):
        return without(column, missing)
    if not (look.blank and "" in missing):
        return column
    return pc.if_else(pc.equal(column, ""), pa.scalar(None, column.type), column)


def looked_at(column: pa.ChunkedArray) -> Look:
    import numpy as np

    looks = [_look_at(chunk) for chunk in column.chunks]
    if len(looks) == 1:
        return looks[0]

    def together(name: str) -> np.ndarray:
        return np.concatenate([np.zeros(0, dtype=bool), *(getattr(look, name) for look in looks)])

    return Look(
        others=bytes(set(b"".join(look.others for look in looks))),
        blank=any(look.blank for look in looks),
        whole=all(look.whole for look in looks),
        led=together("led"),
        trailed=together("trailed"),
        long=together("long"),
        marked=together("marked"),
    )


def _look_at(chunk: pa.Array) -> Look:
    import numpy as np

    text, ends = _bytes_of(chunk)
    starts, sizes = ends[:-1], np.diff(ends)
    others = _others(text)
    # So that each cell has a byte before its end, a second and a third to look at, be they its own or not.
    marks = np.concatenate([text, np.zeros(3, dtype=np.uint8)])
    first, digits, signed = marks[starts], sizes, np.zeros(len(chunk), dtype=bool)
    if MINUS in first:
        signed = (first == MINUS) & (sizes > 0)
        first, digits = np.where(signed, marks[starts + 1], first), sizes - signed
    zero = (first == ZERO) & (digits > 0)
    return Look(
        others=others,
        blank=bool((sizes == 0).any()),
        whole=not (zero & (signed | (digits > 1))).any() and b"+" not in others,
        led=_led(marks, starts + signed, zero & (digits > 1)),
        trailed=(marks[ends[1:] - 1] == ZERO) & (sizes > 0),
        long=digits >= DIGITS_LOST,
        marked=_rows_with(text, ends, others),
    )


def _led(marks: np.ndarray, starts: np.ndarray, zero: np.ndarray) -> np.ndarray:
    """Which of the cells that begin with a zero have a digit behind it; most columns have few of them."""
    import numpy as np

    led, places = np.zeros(len(zero), dtype=bool), np.flatnonzero(zero)
    second = marks[starts[places] + 1]
    led[places] = (second >= ZERO) & (second <= NINE)
    return led


def _others(text: np.ndarray) -> bytes:
    """Which bytes there are of no plain number or time."""
    import numpy as np

    outside = text[(text - np.uint8(MINUS) > SPAN) | (text == SLASH)]
    return bytes(set(outside.tobytes().translate(None, PLAIN_BYTES)))


def _bytes_of(chunk: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """The cells one after the other, and where each begins and the last one ends."""
    import numpy as np
    import pyarrow as pa

    _, places, held = chunk.buffers()
    if not len(chunk) or held is None:
        return np.zeros(0, dtype=np.uint8), np.zeros(len(chunk) + 1, dtype=np.int32)
    wide = np.int64 if pa.types.is_large_string(chunk.type) else np.int32
    ends = np.frombuffer(places, dtype=wide)[chunk.offset : chunk.offset + len(chunk) + 1]
    return np.frombuffer(held, dtype=np.uint8)[ends[0] : ends[-1]], ends - ends[0]


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


def _real(seen: _Seen) -> Plain | None:
    marks = set[str]()

    def real(known: pa.ChunkedArray, look: Look) -> pa.ChunkedArray | None:
        marks.update(marks_of(known, look))
        return finite_values(known, look)

    values = seen.read(real)
    if values is None:
        return None
    if not marks & CLOSER:
        return Plain(values)
    decimals = [decimals_of(cells) for cells in seen.without_powers() if cells.null_count < len(cells)]
    mark = decimal_mark(marks, decimals, lambda: _proven(seen), lambda: has_nan(values))
    return None if mark is None else Plain(values, mark)


def decimal_mark(
    marks: Set[str], decimals: Sequence[tuple[int, int]], proven: Callable[[], bool], nan: Callable[[], bool]
) -> Decimal | None:
    """What digits with points prove of which a closer look is taken; None where they may be no numbers.

    Where some end with a zero, few and differing decimals are those of versions.
    """
    low, high = min((low for low, _ in decimals), default=1), max((high for _, high in decimals), default=1)
    if "powers" not in marks:
        return None if 0 < low < high <= FEW_DECIMALS else "." if proven() else ""
    if nan():
        return None  # a word such as NAN, which is none of the usual ones
    # Then those of the cells with an exponent change nothing.
    return "." if (low == 0 or high > FEW_DECIMALS) and proven() else None


def marks_of(known: pa.ChunkedArray, look: Look) -> Iterator[str]:
    """What the cells have of which a closer look is taken: exponents, codes and zeros at the end."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if look.marked.any():
        powers = known.filter(pa.array(look.marked)).drop_null()
        yield from ("powers",) if len(powers) else ()
        yield from ("code",) if pc.any(pc.match_substring_regex(powers, CODE)).as_py() else ()
    # Most cells that end with a zero are whole numbers, or there are none.
    if look.trailed.any() and pc.any(pc.match_substring(known.filter(pa.array(look.trailed)), ".")).as_py():
        yield "zeros"


def finite_values(known: pa.ChunkedArray, look: Look) -> pa.ChunkedArray | None:
    import pyarrow as pa
    import pyarrow.compute as pc

    real = cast(known, pa.float64())
    return None if real is None or pc.any(pc.is_inf(real)).as_py() or _is_odd(known, look) else real


def has_nan(values: pa.ChunkedArray) -> bool:
    import pyarrow.compute as pc

    return bool(pc.any(pc.is_nan(values)).as_py())


def _proven(seen: _Seen) -> bool:
    return any(proves_point(cells) for cells in seen.without_powers())


def decimals_of(known: pa.ChunkedArray) -> tuple[int, int]:
    """The fewest and the most decimals of a cell."""
    found = [_decimals_of(chunk) for chunk in known.chunks if chunk.null_count < len(chunk)]
    return min(low for low, _ in found), max(high for _, high in found)


def _decimals_of(cells: pa.Array) -> tuple[int, int]:
    import pyarrow.compute as pc

    place = pc.find_substring(cells, ".")
    decimals = pc.if_else(pc.less(place, 0), 0, pc.subtract(pc.subtract(pc.binary_length(cells), place), 1))
    limits = pc.min_max(decimals).as_py()
    return limits["min"], limits["max"]


def _is_odd(known: pa.ChunkedArray, look: Look) -> bool:
    """Whether any cell is not plain. The pattern is slow, so that only cells are looked at that may fit it."""
    import pyarrow as pa
    import pyarrow.compute as pc

    doubted = look.led | look.marked
    if look.long.any():
        place = pc.find_substring(known, ".").fill_null(0).to_numpy()
        doubted = doubted | (look.long & ((place < 0) | (place >= DIGITS_LOST)))
    cells = known.filter(pa.array(doubted)) if doubted.any() else known.slice(0, 0)
    return bool(pc.any(pc.match_substring_regex(cells, NOT_PLAIN)).as_py())


def is_dated(known: pa.ChunkedArray) -> bool:
    """Whether the first cells begin as ISO-8601 does."""
    import pyarrow.compute as pc

    return bool(pc.all(pc.match_substring_regex(known.slice(0, PEEK), r"^\d{4}-\d\d-\d\d")).as_py())
