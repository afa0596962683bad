"""Read files into Arrow tables whose types every library of the stack understands."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import OutOfMemory, ToolFailure
from .bounds import named
from .columns import retyped, typed
from .delimited import read_delimited
from .documents import read_json
from .extents import require_cells, require_extents
from .folder import read_folder
from .layout import distinct
from .models import ReadOptions
from .opening import Opened, opened
from .workbook import read_workbook

if TYPE_CHECKING:
    import pyarrow as pa


def read_table(path: Path, options: ReadOptions, max_mb: int) -> tuple[pa.Table, list[str]]:
    """A file of any readable format, or a folder of Parquet files, and notes on how it was read.

    Args:
        max_mb: what a packed file may unpack to.

    Raises:
        ToolFailure: an unknown format, a file its reader refuses, or one that can be read in two ways.
    """
    with told(path.name):
        if path.is_dir():
            return retype(*read_folder(path, max_mb), options)
        file = opened(path, options, max_mb)
        if file.format == "delimited":
            text, separator, notes = read_delimited(file, options)
            require_extents(file.name, text)
            table, said = typed(text, options, separator)
        else:
            table, notes = READERS[file.format](file, options)
            require_extents(file.name, table)
            table, said = retype(table, [], options)
    return table, [*file.notes, *notes, *said]


@contextmanager
def told(name: str) -> Generator[None]:
    """Say of a file what its reader refuses, or that there is too little memory for it."""
    import pyarrow as pa

    try:
        yield
    except MemoryError:  # one of Arrow's is an ArrowException as well
        raise OutOfMemory(f"{name} holds more than there is memory for", "Pass it in parts.") from None
    except (pa.ArrowException, UnicodeDecodeError, ValueError, OSError) as error:
        raise ToolFailure(f"{name} cannot be read: {str(error)[:300]}", "Check the file and its format.") from error


def retype(table: pa.Table, notes: list[str], options: ReadOptions) -> tuple[pa.Table, list[str]]:
    """A table that came with types, under plain names and with those types that were asked for."""
    table, renamed = plain_names(table)
    table, said = retyped(table, options)
    return table, [*notes, *renamed, *said]


def normalise(table: pa.Table) -> tuple[pa.Table, list[str]]:
    """Cast to plain types and drop pandas' index metadata; say what changed its meaning.

    Dictionaries and large strings become strings, decimals doubles, dates timestamps, binary text strings: Feast,
    XGBoost and Great Expectations each fail, or silently go wrong, on one of the originals. Other bytes are left out.
    """
    import pyarrow as pa

    if not table.num_columns:
        raise ToolFailure("the file has no columns", "Check the file.")
    columns, left_out, changed = dict[str, pa.ChunkedArray](), list[str](), dict[str, list[str]]()
    for field in table.schema:
        target = plain_kind(field.type)
        column, same = plain_cast(table.column(field.name), target)
        if column is None:
            left_out.append(field.name)
            continue
        columns[field.name] = column
        if not same:
            changed.setdefault(f"{field.type} stored as {column.type}", []).append(field.name)
    if not columns:
        raise ToolFailure("all columns are binary, which no tool can use", "Pass a file with other columns.")
    notes = [f"{named(names)}: {what}" for what, names in changed.items()]
    return pa.table(columns), notes + ([f"left out, since binary: {named(left_out)}"] if left_out else [])


def plain_cast(column: pa.ChunkedArray, target: pa.DataType) -> tuple[pa.ChunkedArray | None, bool]:
    """The column as the type, and whether its meaning stayed; None for bytes that are no text."""
    import pyarrow as pa

    kind = column.type
    try:
        return column.cast(target), _is_whole(kind) or not (pa.types.is_decimal(kind) or _is_other(kind))
    except pa.ArrowInvalid:
        if pa.types.is_string(target):
            return None, False
        if pa.types.is_decimal(kind):
            return column.cast(pa.string()), False
        # Only times finer than a microsecond do not fit; nothing downstream keeps them.
        return column.cast(target, safe=False), False


def plain_kind(kind: pa.DataType) -> pa.DataType:
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        return plain_kind(kind.value_type)
    if isinstance(kind, pa.BaseExtensionType):
        return plain_kind(kind.storage_type)
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind) or _is_binary(kind):
        return pa.string()
    if pa.types.is_decimal(kind):
        return pa.float64() if kind.scale > 0 else pa.int64()
    if pa.types.is_float16(kind):
        return pa.float64()
    if pa.types.is_date(kind):
        return pa.timestamp("us")
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", "UTC" if kind.tz else None)
    return pa.time64("us") if pa.types.is_time64(kind) else kind


def _is_whole(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return pa.types.is_decimal(kind) and kind.scale == 0


def _is_other(kind: pa.DataType) -> bool:
    """Whether a column means something else once it is plain."""
    import pyarrow as pa

    return pa.types.is_date(kind) or _is_binary(kind)


def _is_binary(kind: pa.DataType) -> bool:
    import pyarrow as pa

    tests = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary, pa.types.is_binary_view)
    return any(test(kind) for test in tests)


def plain_names(table: pa.Table) -> tuple[pa.Table, list[str]]:
    """Names that every tool can take; those that change are said."""
    cleaned = [name.strip().replace("`", "") or f"column_{place}" for place, name in enumerate(table.column_names, 1)]
    names = distinct(cleaned)
    if names == table.column_names:
        return table, []
    changed = [f"{old!r} → {new}" for old, new in zip(table.column_names, names, strict=True) if old != new]
    return table.rename_columns(names), [f"columns renamed, to be distinct and plain: {named(changed)}"]


def _parquet(file: Opened, _: ReadOptions) -> tuple[pa.Table, list[str]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    source = pq.ParquetFile(pa.BufferReader(file.data))
    require_cells(file.name, source.metadata.num_rows, source.metadata.num_columns)
    return source.read(), []


def _feather(file: Opened, _: ReadOptions) -> tuple[pa.Table, list[str]]:
    import pyarrow as pa
    import pyarrow.feather as feather

    return _sound(feather.read_table(pa.BufferReader(file.data))), []


def _stream(file: Opened, _: ReadOptions) -> tuple[pa.Table, list[str]]:
    import pyarrow as pa

    with pa.ipc.open_stream(pa.BufferReader(file.data)) as stream:
        return _sound(stream.read_all()), []


def _sound(table: pa.Table) -> pa.Table:
    """Arrow takes the offsets in its own formats at their word, and others than it writes lead to foreign memory.

    https://arrow.apache.org/docs/format/Security.html
    """
    table.validate(full=True)
    return table


Reader = Callable[[Opened, ReadOptions], "tuple[pa.Table, list[str]]"]
READERS: dict[str, Reader] = {
    "parquet": _parquet,
    "feather": _feather,
    "stream": _stream,
    "workbook": read_workbook,
    "json": read_json,
}
