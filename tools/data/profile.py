"""What one column holds, computed in Arrow: pandas makes nullable whole numbers real ones and is slow on text."""

# Arrow makes its compute functions when it is imported, out of a checker's sight.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ..numbers import exact, finite, rounded
from .hashes import kinds_of
from .models import ColumnProfile

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

TYPE_LENGTH = 60
VALUE_LENGTH = 40
QUANTILES = {"5%": 0.05, "25%": 0.25, "75%": 0.75, "95%": 0.95}


def profile(name: str, column: pa.ChunkedArray, top: int) -> ColumnProfile:
    """Missing and unique values; the range of numbers and times, the most frequent values of anything else."""
    import pyarrow as pa

    kind = column.type
    known = without_missing(column)
    base = described(name, kind, len(column) - len(known))
    if pa.types.is_string(kind) or pa.types.is_boolean(kind):
        return ColumnProfile.model_validate(base | _values(known, top))
    if not comparable(kind):
        return ColumnProfile.model_validate(base)
    return ColumnProfile.model_validate(base | {"unique": unique(known)} | (_range(known) if len(known) else {}))


def described(name: str, kind: pa.DataType, missing: int) -> dict[str, object]:
    return {"name": name, "type": str(kind)[:TYPE_LENGTH], "missing": missing}


def comparable(kind: pa.DataType) -> bool:
    """Whether two values of the type can be told apart by Arrow; lists, structs and maps cannot."""
    import pyarrow as pa

    return not (pa.types.is_nested(kind) or pa.types.is_union(kind) or kind == pa.month_day_nano_interval())


def identifies(kind: pa.DataType) -> bool:
    """Whether a value per row makes a column an identifier or a time; for real numbers that is nothing special."""
    import pyarrow as pa

    return pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_timestamp(kind)


def moment(value: pa.Scalar) -> str:
    """A number, time or text as text; Python's own times end with the year 9999."""
    import pyarrow as pa

    return re.sub(r"\.0+(?=Z?$)", "", value.cast(pa.string()).as_py() or "")


def duplicates(table: pa.Table) -> int | None:
    """How many rows repeat an earlier one; None where a nested column cannot be compared."""
    import pandas as pd

    hashes = hashes_of(table)
    return None if hashes is None else int(pd.Series(hashes).duplicated().sum())


def hashes_of(table: pa.Table) -> np.ndarray | None:
    """64 bits of each row of this table; None where a nested column cannot be compared, or there is no column."""
    import pandas as pd

    if not table.num_columns or not all(comparable(kind) for kind in table.schema.types):
        return None
    arrays = [array for column in table.columns for array in _codes(column)]
    return pd.util.hash_pandas_object(pd.DataFrame(dict(enumerate(arrays))), index=False).to_numpy()


def _codes(column: pa.ChunkedArray) -> Sequence[object]:
    """The column as numpy arrays that are equal where its values are, missing ones included."""
    import pyarrow as pa
    import pyarrow.compute as pc

    whole = _as_whole(column)
    if not (pa.types.is_integer(whole.type) or pa.types.is_floating(whole.type)):
        encoded = whole.dictionary_encode(null_encoding="encode")
        return [pa.chunked_array([chunk.indices for chunk in encoded.chunks], pa.int32()).to_numpy()]
    if not whole.null_count:
        return [whole.to_numpy()]
    return [pc.fill_null(whole, pa.scalar(0, whole.type)).to_numpy(), whole.is_null().to_numpy()]


def without_missing(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The column itself where nothing is missing, so that it is not in memory twice."""
    import pyarrow as pa
    import pyarrow.compute as pc

    known = column.drop_null() if column.null_count else column
    if not pa.types.is_floating(known.type) or not pc.any(pc.is_nan(known)).as_py():
        return known
    return known.filter(pc.invert(pc.is_nan(known)))


def unique(known: pa.ChunkedArray) -> int:
    """By sorting where that can be: Arrow's table of many distinct numbers takes gigabytes."""
    import pyarrow as pa
    import pyarrow.compute as pc

    whole = _as_whole(known)
    if not len(known) or not (pa.types.is_integer(whole.type) or pa.types.is_floating(whole.type)):
        return int(pc.count_distinct(known).as_py()) if len(known) else 0
    values = whole.to_numpy()
    return kinds_of(values.view(f"u{values.dtype.itemsize}"))


def _values(known: pa.ChunkedArray, top: int) -> dict[str, object]:
    import numpy as np
    import pyarrow.compute as pc

    values, counts = pc.value_counts(known).flatten()
    first = np.argsort(-counts.to_numpy(), kind="stable")[:top].tolist()
    return valued(len(values), [(values[index].as_py(), counts[index].as_py()) for index in first])


def valued(unique: int, most: Iterable[tuple[object, int]]) -> dict[str, object]:
    """How many values there are, and the most frequent ones, shortened."""
    found = dict[str, int]()
    for value, count in most:
        text = str(value)
        label = text if len(text) <= VALUE_LENGTH else f"{text[: VALUE_LENGTH - 1]}…"
        found[label] = found.get(label, 0) + count
    return {"unique": unique, "top": found} if unique else {"unique": 0}


def _range(known: pa.ChunkedArray) -> dict[str, object]:
    import pyarrow as pa
    import pyarrow.compute as pc

    whole = _as_whole(known)
    if pa.types.is_floating(whole.type):
        limits = pc.min_max(whole)
        middle = pc.quantile(whole, 0.5)[0]
        found = {"min": limits["min"], "median": middle, "max": limits["max"], "mean": pc.mean(whole)}
        plain = {name: finite(value.as_py()) for name, value in found.items()}
        return {**plain, "std": _std(whole), "quantiles": _between(whole, plain.values())}
    if not pa.types.is_integer(whole.type):
        return {}
    limits = pc.min_max(whole)
    low, high = (pc.quantile(whole, 0.5, interpolation=side)[0] for side in ("lower", "higher"))
    if pa.types.is_temporal(known.type) and not pa.types.is_duration(known.type):
        found = {"min": limits["min"], "median": low, "max": limits["max"]}
        return {name: moment(value.cast(known.type)) for name, value in found.items()}
    mean = finite(pc.mean(whole.cast(pa.float64(), safe=False)).as_py())
    middle = _middle(low.as_py(), high.as_py())
    ends = {"min": limits["min"].as_py(), "median": middle, "max": limits["max"].as_py()}
    told = {name: exact(value) for name, value in ends.items()}
    return {**told, "mean": mean, "std": _std(whole), "quantiles": _between(whole, told.values())}


def _std(numbers: pa.ChunkedArray) -> float | None:
    import pyarrow as pa
    import pyarrow.compute as pc

    spread = pc.stddev(numbers.cast(pa.float64(), safe=False), ddof=1) if len(numbers) > 1 else None
    return None if spread is None else finite(spread.as_py())


def _between(numbers: pa.ChunkedArray, shown: Iterable[object]) -> dict[str, float | int | str | None] | None:
    """The quantiles that are not shown already."""
    import pyarrow as pa
    import pyarrow.compute as pc

    way = "linear" if pa.types.is_floating(numbers.type) else "lower"
    found, seen = dict[str, float | int | str | None](), set(shown)
    for name, value in zip(QUANTILES, pc.quantile(numbers, list(QUANTILES.values()), interpolation=way), strict=True):
        plain = value.as_py()
        told = finite(plain) if isinstance(plain, float) else exact(plain)
        if told is not None and told not in seen:
            found[name] = rounded(told) if isinstance(told, float) else told
            seen.add(told)
    return found or None


def _middle(low: int, high: int) -> int | float:
    """The mean of two whole numbers, whole where it is."""
    return (low + high) / 2 if (low + high) % 2 else (low + high) // 2


def _as_whole(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Times as the whole numbers that they are stored as: Arrow has no statistics of some of them."""
    import pyarrow as pa

    kind = column.type
    return column.cast(pa.int32() if kind.bit_width == 32 else pa.int64()) if pa.types.is_temporal(kind) else column
