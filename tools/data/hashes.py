"""64 bits of each row of a dataset that is read some rows at a time: equal where rows are, whatever part they are in.

Numbers count by their value whatever their type, missing values are alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from ..numbers import EXACT

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

# Values that are compared at once.
BLOCK = 1 << 20
SEED, FACTOR, MISSING = 0x345678, 0x9E3779B97F4A7C15, 0x5BD1E995


def hashes_by_parts(parts: Iterable[pa.Table], rows: int) -> np.ndarray:
    """Those of all rows, shape (rows,)."""
    import numpy as np

    found, start = np.empty(rows, dtype=np.uint64), 0
    for part in parts:
        found[start : start + len(part)] = row_hashes_of(part)
        start += len(part)
    return found


def row_hashes_of(table: pa.Table) -> np.ndarray:
    """Those of some rows; the order of columns counts."""
    import numpy as np
    import pandas as pd

    mixed = np.full(len(table), SEED, dtype=np.uint64)
    for column in table.columns:
        for values in _canonical(column):
            # Products wrap, as is meant.
            mixed = (mixed ^ pd.util.hash_array(values)) * np.uint64(FACTOR)
            mixed ^= mixed >> np.uint64(29)
    return mixed


def kinds_of(values: np.ndarray) -> int:
    """How many distinct values there are; sorting takes the memory of one copy, a table of many that of several."""
    import numpy as np

    ordered, kinds = np.sort(values), min(len(values), 1)
    for start in range(0, len(ordered) - 1, BLOCK):
        some = ordered[start : start + BLOCK + 1]
        kinds += int(np.count_nonzero(some[1:] != some[:-1]))
    return kinds


def repeated(hashes: np.ndarray) -> np.ndarray:
    """Which rows have the hash of another one."""
    import numpy as np

    ordered = np.sort(hashes)
    twice = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    place = np.searchsorted(twice, hashes)
    return twice[np.minimum(place, len(twice) - 1)] == hashes if len(twice) else np.zeros(len(hashes), dtype=bool)


def within(known: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Which of these are among those."""
    import numpy as np

    if not len(known):
        return np.zeros(len(asked), dtype=bool)
    ordered = np.sort(known)
    return ordered[np.minimum(np.searchsorted(ordered, asked), len(ordered) - 1)] == asked


def numbered(hashes: np.ndarray) -> np.ndarray:
    """Equal rows by one number, from 0 in the order of the first ones; only those that repeat are put into a table."""
    import numpy as np
    import pandas as pd

    kind = np.int32 if len(hashes) < 1 << 30 else np.int64
    twice = repeated(hashes)
    places = np.flatnonzero(twice)
    codes = pd.factorize(hashes[twice])[0]
    new = np.diff(np.maximum.accumulate(codes), prepend=-1) > 0 if len(codes) else np.zeros(0, dtype=bool)
    first = ~twice
    first[places[new]] = True
    numbers: np.ndarray = np.cumsum(first, dtype=kind)
    numbers -= 1
    numbers[places] = numbers[places[new]][codes]
    return numbers


def _canonical(column: pa.ChunkedArray) -> Iterator[np.ndarray]:
    """Arrays that are equal where the values are."""
    import numpy as np
    import pyarrow as pa

    kind = column.type
    if pa.types.is_temporal(kind) and kind != pa.month_day_nano_interval():
        column = column.cast(pa.int32() if kind.bit_width == 32 else pa.int64())
    elif pa.types.is_boolean(kind):
        column = column.cast(pa.int8())
    if not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type)):
        yield _texts(column)
        return
    numbers = column.cast(pa.float64(), safe=False).to_numpy() + 0.0  # one zero
    numbers[np.isnan(numbers)] = np.nan  # and one missing value
    yield numbers
    if pa.types.is_integer(column.type) and column.type.bit_width == 64:
        yield _beyond(column, numbers)


def _beyond(column: pa.ChunkedArray, numbers: np.ndarray) -> np.ndarray:
    """The low bits of whole numbers that a real one rounds."""
    import numpy as np

    low = column.fill_null(0).to_numpy() & 0xFFFF
    return np.where(np.abs(numbers) > EXACT, low, 0)


def _texts(column: pa.ChunkedArray) -> np.ndarray:
    """A hash of each text, or of what a nested value is written as."""
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    texts = column
    if not pa.types.is_string(column.type):
        texts = pa.chunked_array([[_written(each) for each in column.to_pylist()]], pa.string())
    encoded = texts.combine_chunks().dictionary_encode()
    words = pd.util.hash_array(encoded.dictionary.to_numpy(zero_copy_only=False), categorize=False)
    places = encoded.indices.fill_null(len(words)).to_numpy()
    return np.append(words, np.uint64(MISSING))[places]


def _written(value: object) -> str | None:
    return None if value is None else str(value)
