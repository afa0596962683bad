"""Columns of text as the numbers, times and booleans that they hold; what is not read so, and why, is said."""

# Arrow makes its compute functions when it is imported, out of a checker's sight.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Literal

from ..errors import ToolFailure
from .models import ColumnKind, ReadOptions
from .moments import Times, epoch_of, from_epoch, times_by, times_of, times_of_day
from .numerals import Decimal, Numbers, numbers_of
from .pieces import GROUP, Stored, pieces_of
from .plain import MISSING, PEEK, plain_values

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

TRUTHS = {"true": True, "false": False}
WORDS = {
    **dict.fromkeys(("true", "yes", "t", "y", "on", "1"), True),
    **dict.fromkeys(("false", "no", "f", "n", "off", "0"), False),
}
NEARLY = 0.5
SHOWN = 3
# So many cells are looked at before all are.
FIRST = 20_000

Undecided = Literal["", "decimal", "day_first"]


@dataclass(frozen=True)
class Convention:
    """How the columns of a file write numbers and dates, as far as it is known."""

    decimal: Decimal = ""
    forced: bool = False
    day_first: bool | None = None


@dataclass(frozen=True)
class Column:
    """A column as read; `said` is what has to be told about it, by the text that precedes its name.

    Text of a stored column comes in pieces, of which `values` has none.
    """

    values: pa.ChunkedArray
    said: tuple[str, ...] = ()
    doubt: str = ""
    marked: int = 0
    undecided: Undecided = ""
    decimal: Decimal = ""
    day_first: bool | None = None
    texts: Callable[[], Iterable[pa.ChunkedArray]] | None = None

    @property
    def pieces(self) -> Iterable[pa.ChunkedArray]:
        return self.texts() if self.texts else (self.values,)


@dataclass(frozen=True)
class Cells:
    """The distinct texts of a column and where they stand.

    With `weights` the column has each text once, and they say how many cells hold it.
    """

    column: pa.ChunkedArray | Stored
    missing: Sequence[str]
    weights: np.ndarray | None = None

    @cached_property
    def encoded(self) -> pa.DictionaryArray:
        import pyarrow as pa

        if isinstance(self.column, Stored):
            return _encoded(self.column)
        encoded = self.column.dictionary_encode()
        if not encoded.num_chunks:
            return pa.array([], pa.string()).dictionary_encode()
        # All chunks share the dictionary; to unify it once more takes minutes.
        places = pa.chunked_array([chunk.indices for chunk in encoded.chunks]).combine_chunks()
        return pa.DictionaryArray.from_arrays(places, encoded.chunk(encoded.num_chunks - 1).dictionary)

    @cached_property
    def words(self) -> pa.Array:
        """Without spaces around them, and null where they mean missing."""
        import pyarrow as pa
        import pyarrow.compute as pc

        trimmed = pc.utf8_trim_whitespace(self.encoded.dictionary)
        gone = pc.is_in(trimmed, value_set=pa.array(self.missing, trimmed.type))
        return pc.if_else(gone, pa.scalar(None, trimmed.type), trimmed)

    @cached_property
    def counts(self) -> np.ndarray:
        """How many cells hold each word."""
        import numpy as np

        if self.weights is not None:
            return self.weights
        places = self.encoded.indices.drop_null().to_numpy()
        return np.bincount(places, minlength=len(self.words))

    @property
    def known(self) -> int:
        return self.cells(self.words.is_valid())

    def cells(self, chosen: pa.Array) -> int:
        """How many cells hold one of the words."""
        return int(self.counts[chosen.to_numpy(zero_copy_only=False).astype(bool)].sum())

    def all_of(self, values: pa.Array) -> bool:
        """Whether every known word has a value."""
        return values.null_count == self.words.null_count

    def placed(self, values: pa.Array) -> pa.ChunkedArray:
        """Values of the words where the words stand."""
        import pyarrow as pa

        return pa.chunked_array([values.take(self.encoded.indices)])

    def placed_by_pieces(self, values: pa.Array) -> Iterator[pa.ChunkedArray]:
        import pyarrow as pa

        places = self.encoded.indices
        for start in range(0, len(places), GROUP):
            yield pa.chunked_array([values.take(places.slice(start, GROUP))])

    def strange(self, values: pa.Array) -> pa.Array:
        """Which known words have no value."""
        import pyarrow.compute as pc

        return pc.and_(self.words.is_valid(), values.is_null())

    def strangers(self, values: pa.Array) -> list[int]:
        """The places of known words without a value, the most frequent first."""
        import numpy as np

        found = np.flatnonzero(self.strange(values).to_numpy(zero_copy_only=False))
        places: list[int] = found[np.argsort(-self.counts[found], kind="stable")].tolist()
        return places

    def doubt(self, values: pa.Array, what: str) -> str:
        """How many cells are of the kind, and which are not, with the row of the first of each, from 1."""
        import pyarrow.compute as pc

        places = self.strangers(values)
        bad = self.cells(self.strange(values))
        shown = list[str]()
        for place in places[:SHOWN]:
            row = pc.index(self.encoded.indices, place).as_py() + 1
            count = self.counts[place]
            shown.append(
                f"{_short(self.words[place].as_py())!r} ({f'{count} cells, first in ' if count > 1 else ''}row {row})"
            )
        more = f" and {len(places) - SHOWN} other values" if len(places) > SHOWN else ""
        return f"{self.known - bad:,} of {self.known:,} cells are {what}; not: {', '.join(shown)}{more}"


def _encoded(column: Stored) -> pa.DictionaryArray:
    """The distinct texts in the order of their first cells, gathered piece by piece."""
    import pyarrow as pa
    import pyarrow.compute as pc

    known, places = pa.array([], column.type), list[pa.Array]()
    for piece in column.pieces():
        own = Cells(piece, ()).encoded
        new = own.dictionary.filter(pc.invert(pc.is_in(own.dictionary, value_set=known)))
        known = pa.concat_arrays([known, new])
        places.append(pc.index_in(own.dictionary, value_set=known).take(own.indices))
    return pa.DictionaryArray.from_arrays(pa.concat_arrays(places), known)


def read_column(column: pa.ChunkedArray | Stored, convention: Convention, missing: Sequence[str]) -> Column:
    """The column with the type that all its cells have; text where they have none in common."""
    if plain := plain_values(column, convention.decimal, missing):
        return Column(plain.values, decimal=plain.decimal)
    if words := _plain_text(column, missing):
        return words
    return read_words(Cells(column, missing), convention)


def read_words(cells: Cells, convention: Convention) -> Column:
    """`read_column` by the distinct texts."""
    import pyarrow as pa

    if cells.words.null_count == len(cells.words):
        return Column(pa.chunked_array([pa.nulls(len(cells.column))]))
    truths = truths_of(cells.words, TRUTHS)
    if cells.all_of(truths):
        return Column(cells.placed(truths))
    return _text(cells, "") if _wordy(cells.words) else _guessed(cells, convention)


def missing_words(options: ReadOptions, usual: Sequence[str] = MISSING) -> tuple[str, ...]:
    """The usual words for a missing value and those that were asked for; none if none were to be."""
    return () if options.null_values == [] else (*usual, *options.missing)


def as_kind(
    name: str, column: pa.ChunkedArray | Stored, kind: ColumnKind, convention: Convention, options: ReadOptions
) -> Column:
    """The column with the type that was asked for.

    Raises:
        ToolFailure: cells that it cannot take, unless they are to be missing.
    """
    if kind == "text":
        return _text(Cells(column, missing_words(options, ("",))), "", kept=True)
    cells = Cells(column, missing_words(options))
    if kind == "boolean":
        return _checked(
            name, cells, Column(cells.placed(truths := truths_of(cells.words, WORDS))), truths, "booleans", options
        )
    if kind == "time" and options.time_format:
        values = times_by(cells.words, options.time_format)
        said = (f"times read as {options.time_format}",)
        return _checked(name, cells, Column(cells.placed(values), said), values, "times of that format", options)
    if kind == "time":
        counted = plain_values(column, convention.decimal, cells.missing)
        if counted is not None and (unit := epoch_of(counted.values)):
            return Column(from_epoch(counted.values, unit), (f"numbers read as times ({unit})",))
        times = times_of(cells.words, convention.day_first, wanted=True)
        return _checked(name, cells, _times(cells, times), times.values, "times", options)
    numbers = numbers_of(cells.words, convention.decimal, convention.forced)
    if numbers.reason and not numbers.reason.startswith("a number would lose"):
        raise ToolFailure(f"{name} cannot be a number: {numbers.reason}", "Leave it out of `types`, or pass `decimal`.")
    found = _numbers(cells, numbers)
    found = replace(found, said=(*found.said, "numbers although digits are lost")) if numbers.reason else found
    return _checked(name, cells, found, numbers.values, "numbers", options)


def look_at(column: pa.ChunkedArray | Stored) -> tuple[str, str]:
    """For text of numbers or times: what all cells are; or how many are, and which are not."""
    import pyarrow as pa

    head = Cells(column.slice(0, FIRST), MISSING).words
    if len(head) - head.null_count >= PEEK and _wordy(head):
        return "", ""  # the first words of all are those of the first cells
    cells = Cells(column, MISSING)
    if _wordy(cells.words) or not cells.known:
        return "", ""
    found = _guessed(cells, Convention())
    kind = found.values.type
    return "" if pa.types.is_string(kind) else "times" if pa.types.is_temporal(kind) else "numbers", found.doubt


def _plain_text(column: pa.ChunkedArray | Stored, missing: Sequence[str]) -> Column | None:
    """Text of many values without spaces around them, which the first cells tell: the rest is not told apart."""
    if not is_various(column.slice(0, FIRST), missing):
        return None
    if any(is_spaced(piece) for piece in pieces_of(column)):
        return None
    marked = sum(marked_cells(piece, missing) for piece in pieces_of(column))
    if isinstance(column, Stored):
        return Column(column.slice(0, 0), marked=marked, texts=partial(_pieces_without, column, missing))
    return Column(known_text(column, missing), marked=marked)


def is_various(head: pa.ChunkedArray, missing: Sequence[str]) -> bool:
    """Whether the first cells hold so many words that all of the column is text."""
    words = Cells(head, missing).words
    many = len(words) - words.null_count >= PEEK
    return many and truths_of(words, TRUTHS).null_count > words.null_count and _wordy(words)


def is_spaced(column: pa.ChunkedArray) -> bool:
    """Whether there are spaces around any text."""
    import pyarrow.compute as pc

    return any(pc.any(pc.not_equal(chunk, pc.utf8_trim_whitespace(chunk))).as_py() for chunk in column.chunks)


def marked_cells(column: pa.ChunkedArray, missing: Sequence[str]) -> int:
    """How many cells are written, and mean missing."""
    import pyarrow as pa
    import pyarrow.compute as pc

    gone = pc.is_in(column, value_set=pa.array(missing, column.type))
    return pc.sum(pc.and_(gone, pc.not_equal(column, ""))).as_py() or 0


def known_text(column: pa.ChunkedArray, missing: Sequence[str]) -> pa.ChunkedArray:
    """The cells, null where they mean missing."""
    import pyarrow as pa
    import pyarrow.compute as pc

    gone = pc.is_in(column, value_set=pa.array(missing, column.type))
    return pc.if_else(gone, pa.scalar(None, column.type), column) if pc.any(gone).as_py() else column


def _pieces_without(column: Stored, missing: Sequence[str]) -> Iterator[pa.ChunkedArray]:
    for piece in column.pieces():
        yield known_text(piece, missing)


def _wordy(words: pa.Array) -> bool:
    """Whether none of the first words is a number or time, which is enough to call it text."""
    import pyarrow.compute as pc

    first = words.drop_null().slice(0, PEEK)
    if not pc.any(pc.match_substring_regex(first, r"\d|(?i:^[-+]?inf)")).as_py():
        return True
    if len(first) < PEEK:
        return False
    read = (numbers_of(first, "", False).values, times_of(first, None, wanted=True).values)
    return all(values.null_count == len(first) for values in read) and times_of_day(first) is None


def _guessed(cells: Cells, convention: Convention) -> Column:
    numbers = numbers_of(cells.words, convention.decimal, convention.forced)
    if cells.all_of(numbers.values):
        return _text(cells, numbers.reason) if numbers.reason else _numbers(cells, numbers)
    if (clock := times_of_day(cells.words)) is not None:
        return Column(cells.placed(clock))
    times = times_of(cells.words, convention.day_first, wanted=False)
    if cells.all_of(times.values):
        return _text(cells, times.reason) if times.reason else _times(cells, times)
    found = max((numbers.values, "numbers"), (times.values, "times"), key=lambda item: _covered(cells, item[0]))
    return replace(_text(cells, ""), doubt=cells.doubt(*found) if _covered(cells, found[0]) >= NEARLY else "")


def _covered(cells: Cells, values: pa.Array) -> float:
    return 1 - cells.cells(cells.strange(values)) / cells.known


def _numbers(cells: Cells, numbers: Numbers) -> Column:
    undecided: Undecided = "decimal" if numbers.undecided else ""
    said = tuple(f"numbers {what}" for what in numbers.said)
    return Column(cells.placed(numbers.values), said, undecided=undecided, decimal=numbers.evidence)


def _times(cells: Cells, times: Times) -> Column:
    undecided: Undecided = "day_first" if times.undecided else ""
    said = tuple(f"times {what}" for what in times.said)
    return Column(cells.placed(times.values), said, undecided=undecided, day_first=times.evidence)


def _text(cells: Cells, reason: str, kept: bool = False) -> Column:
    """Text as it is written; the spaces that follow each separator of a file belong to no cell."""
    import pyarrow as pa
    import pyarrow.compute as pc

    raw = cells.encoded.dictionary
    said = [f"kept as text, since {reason}"] if reason else []
    spaced = pc.and_(cells.words.is_valid(), pc.not_equal(raw, pc.utf8_trim_whitespace(raw)))
    if not kept and pc.any(spaced).as_py():
        lead = pc.or_(cells.words.is_null(), pc.starts_with(raw, " "))
        stripped = pc.all(lead).as_py()
        raw = pc.utf8_trim_whitespace(raw) if stripped else raw
        said.append(f"spaces around text {'stripped' if stripped else 'kept'}")
    marked = cells.cells(pc.and_(cells.words.is_null(), pc.not_equal(pc.utf8_trim_whitespace(raw), "")))
    values = pc.if_else(cells.words.is_null(), pa.scalar(None, raw.type), raw)
    if isinstance(cells.column, Stored):
        texts = partial(cells.placed_by_pieces, values)
        return Column(pa.chunked_array([], values.type), tuple(said), marked=marked, texts=texts)
    return Column(cells.placed(values), tuple(said), marked=marked)


def truths_of(words: pa.Array, known: dict[str, bool]) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.take(pa.array(list(known.values())), pc.index_in(pc.utf8_lower(words), pa.array(list(known))))


def _checked(name: str, cells: Cells, column: Column, values: pa.Array, what: str, options: ReadOptions) -> Column:
    places = cells.strangers(values)
    if not places:
        return column
    doubt = cells.doubt(values, what)
    if not options.bad_cells:
        words = [cells.words[place].as_py() for place in places[:SHOWN]]
        hint = f"Pass options with null_values={words!r:.120}, or bad_cells='null', to read them as missing."
        raise ToolFailure(f"{name}: {doubt}", hint)
    return replace(column, doubt=f"{doubt}: read as missing")


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:39]}…"


def in_parallel(function: Callable[[str], Column], names: Iterable[str], workers: int | None = None) -> list[Column]:
    """Arrow works without Python's lock, so that columns are read at once."""
    from concurrent.futures import ThreadPoolExecutor

    import pyarrow as pa

    with ThreadPoolExecutor(max_workers=workers or pa.cpu_count()) as pool:
        return list(pool.map(function, names))
