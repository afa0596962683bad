"""What a column of text seems to be by its first rows, and each further piece of it read as that.

A column is read as `cells.read_column` reads it as a whole, or not at all: whatever a piece holds that may make another
thing of it is an UnlikeError.
"""

# Arrow makes its compute functions when it is imported, out of a checker's sight.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from .blocks import UnlikeError
from .cells import (
    FIRST,
    TRUTHS,
    Cells,
    Column,
    Convention,
    is_spaced,
    is_various,
    known_text,
    marked_cells,
    read_words,
    truths_of,
)
from .numerals import Decimal, proves_point
from .plain import (
    CLOSER,
    FEW_DECIMALS,
    PEEK,
    Look,
    decimal_mark,
    decimals_of,
    finite_values,
    has_nan,
    is_dated,
    is_wordy,
    known_cells,
    looked_at,
    marks_of,
    time_values,
    whole_values,
    without,
    without_powers,
)

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

# Of a column with more distinct texts it is not known whether all of them fit into memory.
MOST_WORDS = 100_000

Values = Callable[["pa.ChunkedArray", Look], "pa.ChunkedArray | None"]


@dataclass(frozen=True)
class Digits:
    """What the numbers of a piece look like."""

    marks: frozenset[str]
    decimals: tuple[int, int] | None = None
    proven: bool = False
    nan: bool = False


@dataclass(frozen=True)
class Part:
    """A piece of a column as read, and what was seen on the way: of one kind of column one of these."""

    values: pa.ChunkedArray
    limits: tuple[int, int] | None = None
    digits: Digits | None = None
    marked: int = 0
    words: tuple[pa.Array, np.ndarray] | None = None


class Guess(Protocol):
    """How a column is read."""

    def read(self, piece: pa.ChunkedArray) -> Part:
        """Any piece, by any thread."""
        ...

    def take(self, part: Part) -> None:
        """What was seen of the pieces, in their order."""
        ...

    def column(self) -> Column:
        """What is left to say of the column once all pieces are taken; of its values there are the limits at most."""
        ...


def guess_of(head: pa.ChunkedArray, convention: Convention, missing: Sequence[str]) -> Guess:
    """By the first cells, as many as are looked at to tell text.

    Raises:
        UnlikeError: they have no plain kind.
    """
    start = head.slice(0, PEEK)
    if is_wordy(start, missing):
        return _guess_of_text(head.slice(0, FIRST), convention, missing)
    known, look = _seen(head, missing)
    if known.null_count == len(known):
        return Blank(missing)
    if whole_values(known, look) is not None:
        return Whole(missing)
    if convention.decimal != "," and finite_values(known, look) is not None:
        return _guess_of_numbers(known, look, missing)
    if is_dated(without(start, missing)) and time_values(known, look) is not None:
        return Times(missing)
    raise UnlikeError


def _guess_of_text(head: pa.ChunkedArray, convention: Convention, missing: Sequence[str]) -> Guess:
    if is_various(head, missing):
        return Text(missing)
    words = Cells(head, missing).words
    if words.null_count < len(words) and truths_of(words, TRUTHS).null_count == words.null_count:
        return Truths(missing)
    return Words(convention, missing)


def _guess_of_numbers(known: pa.ChunkedArray, look: Look, missing: Sequence[str]) -> Guess:
    first = digits_of(known, look)
    numbers = Numbers(missing, first, {first})
    if first.marks & CLOSER and numbers.mark() is None:
        raise UnlikeError
    return numbers


def digits_of(known: pa.ChunkedArray, look: Look, proven: bool = False) -> Digits:
    cells = without_powers(known, look)
    decimals = decimals_of(cells) if cells.null_count < len(cells) else None
    return Digits(frozenset(marks_of(known, look)), decimals, proven or proves_point(cells))


def _seen(piece: pa.ChunkedArray, missing: Sequence[str]) -> tuple[pa.ChunkedArray, Look]:
    look = looked_at(piece)
    return known_cells(piece, missing, look), look


def _valued(known: pa.ChunkedArray, look: Look, kind: pa.DataType, values_of: Values) -> pa.ChunkedArray:
    import pyarrow as pa

    if known.null_count == len(known):
        return pa.chunked_array([pa.nulls(len(known), kind)])
    if (values := values_of(known, look)) is None:
        raise UnlikeError
    return values


@dataclass(frozen=True)
class Blank:
    """Nothing but missing cells."""

    missing: Sequence[str]

    def read(self, piece: pa.ChunkedArray) -> Part:
        import pyarrow as pa

        if Cells(piece, self.missing).known:
            raise UnlikeError
        return Part(pa.chunked_array([pa.nulls(len(piece))]))

    def take(self, part: Part) -> None:
        pass

    def column(self) -> Column:
        import pyarrow as pa

        return Column(pa.chunked_array([], pa.null()))


@dataclass
class Whole:
    """Whole numbers."""

    missing: Sequence[str]
    limits: list[int] = field(default_factory=list[int])

    def read(self, piece: pa.ChunkedArray) -> Part:
        import pyarrow as pa
        import pyarrow.compute as pc

        values = _valued(*_seen(piece, self.missing), pa.int64(), whole_values)
        limits = pc.min_max(values).as_py()
        return Part(values, limits=None if limits["min"] is None else (limits["min"], limits["max"]))

    def take(self, part: Part) -> None:
        found = [*self.limits, *(part.limits or ())]
        self.limits = [min(found), max(found)] if found else []

    def column(self) -> Column:
        import pyarrow as pa

        return Column(pa.chunked_array([pa.array(self.limits, pa.int64())]))


@dataclass
class Numbers:
    """Digits with points, of which the first ones mostly settle what there is to know of all."""

    missing: Sequence[str]
    first: Digits
    seen: set[Digits]

    def read(self, piece: pa.ChunkedArray) -> Part:
        import pyarrow as pa

        known, look = _seen(piece, self.missing)
        values = _valued(known, look, pa.float64(), finite_values)
        if self._settled:
            digits = Digits(frozenset(marks_of(known, look)))
        else:
            digits = digits_of(known, look, self.first.proven)
        return Part(values, digits=replace(digits, nan="powers" in digits.marks and has_nan(values)))

    @property
    def _settled(self) -> bool:
        return self.first.proven and self.first.decimals is not None and self.first.decimals[1] > FEW_DECIMALS

    def take(self, part: Part) -> None:
        assert part.digits is not None
        self.seen.add(part.digits)

    def column(self) -> Column:
        import pyarrow as pa

        values = pa.chunked_array([], pa.float64())
        if not self._marks & CLOSER:
            return Column(values)
        if (mark := self.mark()) is None:
            raise UnlikeError
        return Column(values, decimal=mark)

    @property
    def _marks(self) -> frozenset[str]:
        return frozenset[str]().union(*(each.marks for each in self.seen))

    def mark(self) -> Decimal | None:
        """Which decimal mark all that was seen proves; None where it may be no numbers."""
        decimals = [each.decimals for each in self.seen if each.decimals]
        return decimal_mark(
            self._marks,
            decimals,
            lambda: any(each.proven for each in self.seen),
            lambda: any(each.nan for each in self.seen),
        )


@dataclass(frozen=True)
class Times:
    """ISO-8601 times."""

    missing: Sequence[str]

    def read(self, piece: pa.ChunkedArray) -> Part:
        import pyarrow as pa

        return Part(_valued(*_seen(piece, self.missing), pa.timestamp("us"), time_values))

    def take(self, part: Part) -> None:
        pass

    def column(self) -> Column:
        import pyarrow as pa

        return Column(pa.chunked_array([], pa.timestamp("us")))


@dataclass(frozen=True)
class Truths:
    """The words true and false."""

    missing: Sequence[str]

    def read(self, piece: pa.ChunkedArray) -> Part:
        cells = Cells(piece, self.missing)
        truths = truths_of(cells.words, TRUTHS)
        if not cells.all_of(truths):
            raise UnlikeError
        return Part(cells.placed(truths))

    def take(self, part: Part) -> None:
        pass

    def column(self) -> Column:
        import pyarrow as pa

        return Column(pa.chunked_array([], pa.bool_()))


@dataclass
class Text:
    """Text of many values, without spaces around them."""

    missing: Sequence[str]
    marked: int = 0

    def read(self, piece: pa.ChunkedArray) -> Part:
        if is_spaced(piece):
            raise UnlikeError
        return Part(known_text(piece, self.missing), marked=marked_cells(piece, self.missing))

    def take(self, part: Part) -> None:
        self.marked += part.marked

    def column(self) -> Column:
        import pyarrow as pa

        return Column(pa.chunked_array([], pa.string()), marked=self.marked)


@dataclass
class Kept:
    """Text that was asked for, as it is written."""

    missing: Sequence[str]
    marked: int = 0

    def read(self, piece: pa.ChunkedArray) -> Part:
        import pyarrow as pa
        import pyarrow.compute as pc

        trimmed = pc.utf8_trim_whitespace(piece)
        gone = pc.is_in(trimmed, value_set=pa.array(self.missing, piece.type))
        marked = pc.sum(pc.and_(gone, pc.not_equal(trimmed, ""))).as_py() or 0
        return Part(pc.if_else(gone, pa.scalar(None, piece.type), piece), marked=marked)

    def take(self, part: Part) -> None:
        self.marked += part.marked

    def column(self) -> Column:
        import pyarrow as pa

        return Column(pa.chunked_array([], pa.string()), marked=self.marked)


@dataclass
class Words:
    """Text of few values, all of which are known in the end, in the order of their first cells."""

    convention: Convention
    missing: Sequence[str]
    known: pa.Array | None = None
    counts: np.ndarray | None = None

    def read(self, piece: pa.ChunkedArray) -> Part:
        import pyarrow as pa
        import pyarrow.compute as pc

        cells = Cells(piece, self.missing)
        texts, words = cells.encoded.dictionary, cells.words
        same = piece
        if words.null_count:
            same = cells.placed(pc.if_else(words.is_null(), pa.scalar(None, texts.type), texts))
        return Part(same, words=(texts, cells.counts))

    def take(self, part: Part) -> None:
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        assert part.words is not None
        texts, counts = part.words
        known, seen = self.known, self.counts
        if known is None or seen is None:
            known, seen = texts.slice(0, 0), counts[:0]
        new = texts.filter(pc.invert(pc.is_in(texts, value_set=known)))
        known = pa.concat_arrays([known, new])
        seen = np.concatenate([seen, np.zeros(len(new), dtype=seen.dtype)])
        seen[pc.index_in(texts, value_set=known).to_numpy()] += counts
        self.known, self.counts = known, seen
        if len(known) > MOST_WORDS:
            raise UnlikeError

    def column(self) -> Column:
        import pyarrow as pa

        found = read_words(Cells(pa.chunked_array([self.known]), self.missing, self.counts), self.convention)
        # What is said of text is about its spaces, which may have to go, or about its rows.
        if not pa.types.is_string(found.values.type) or found.said or found.doubt:
            raise UnlikeError
        return Column(pa.chunked_array([], pa.string()), marked=found.marked)
