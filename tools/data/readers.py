"""Read files into Arrow tables whose types every library of the stack understands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ToolFailure
from .bounds import named
from .delimited import read_delimited, require_utf8

if TYPE_CHECKING:
    import pyarrow as pa


def read_table(path: Path) -> tuple[pa.Table, list[str]]:
    """A Parquet, CSV, TSV, JSON-lines or Feather file, and notes on how it was read.

    Raises:
        ToolFailure: an unknown format, or a file its reader refuses.
    """
    import pyarrow as pa

    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise ToolFailure(f"{path.name} has no format that can be read", f"Readable: {', '.join(READERS)}.")
    try:
        return reader(path)
    except (pa.ArrowException, UnicodeDecodeError, ValueError, OSError) as error:
        raise ToolFailure(f"{path.name} cannot be read: {error}", "Check the file and its format.") from error


def normalise(table: pa.Table) -> tuple[pa.Table, list[str]]:
    """Cast to plain types and drop pandas' index metadata; say what changed its meaning.

    Dictionaries and large strings become strings, decimals doubles, dates timestamps, binary text strings: Feast,
    XGBoost and Great Expectations each fail, or silently go wrong, on one of the originals. Other bytes are left out.
    """
    import pyarrow as pa

    _require_names(table)
    columns, left_out, changed = dict[str, pa.ChunkedArray](), list[str](), dict[str, list[str]]()
    for field in table.schema:
        target = _plain(field.type)
        column, same = _cast(table.column(field.name), target)
        if column is None:
            left_out.append(field.name)
            continue
        columns[field.name] = column
        if not same:
            changed.setdefault(f"{field.type} stored as {target}", []).append(field.name)
    if not columns:
        raise ToolFailure("all columns are binary, which no tool can use", "Pass a file with other columns.")
    notes = [f"{named(names)}: {what}" for what, names in changed.items()]
    return pa.table(columns), notes + ([f"left out, since binary: {named(left_out)}"] if left_out else [])


def _cast(column: pa.ChunkedArray, target: pa.DataType) -> tuple[pa.ChunkedArray | None, bool]:
    """The column as the type, and whether its meaning stayed; None for bytes that are no text."""
    import pyarrow as pa

    kind = column.type
    try:
        return column.cast(target), not (pa.types.is_decimal(kind) or pa.types.is_date(kind) or _is_binary(kind))
    except pa.ArrowInvalid:
        if pa.types.is_string(target):
            return None, False
        # Only times finer than a microsecond do not fit; nothing downstream keeps them.
        return column.cast(target, safe=False), False


def _require_names(table: pa.Table) -> None:
    names = table.column_names
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise ToolFailure(f"column names occur twice: {', '.join(repeated)}", "Rename them in the file.")
    if bad := [name for name in names if not name.strip() or "`" in name]:
        raise ToolFailure(f"columns cannot be named {bad}", "Rename them in the file.")
    if not names:
        raise ToolFailure("the file has no columns", "Check the file.")


def _plain(kind: pa.DataType) -> pa.DataType:
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        return _plain(kind.value_type)
    if isinstance(kind, pa.BaseExtensionType):
        return _plain(kind.storage_type)
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind) or _is_binary(kind):
        return pa.string()
    if pa.types.is_decimal(kind) or pa.types.is_float16(kind):
        return pa.float64()
    if pa.types.is_date(kind):
        return pa.timestamp("us")
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", "UTC" if kind.tz else None)
    return kind


def _is_binary(kind: pa.DataType) -> bool:
    import pyarrow as pa

    tests = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary, pa.types.is_binary_view)
    return any(test(kind) for test in tests)


def _parquet(path: Path) -> tuple[pa.Table, list[str]]:
    import pyarrow.parquet as pq

    return pq.read_table(path), []


def _feather(path: Path) -> tuple[pa.Table, list[str]]:
    import pyarrow.feather as feather

    return feather.read_table(path), []


def _csv(path: Path) -> tuple[pa.Table, list[str]]:
    return read_delimited(path, ",")


def _tsv(path: Path) -> tuple[pa.Table, list[str]]:
    return read_delimited(path, "\t")


def _json(path: Path) -> tuple[pa.Table, list[str]]:
    import pyarrow.json as json

    require_utf8(path)
    return json.read_json(path), ["types inferred from text"]


READERS: dict[str, Callable[[Path], tuple[pa.Table, list[str]]]] = {
    ".parquet": _parquet,
    ".csv": _csv,
    ".tsv": _tsv,
    ".jsonl": _json,
    ".ndjson": _json,
    ".feather": _feather,
    ".arrow": _feather,
}
