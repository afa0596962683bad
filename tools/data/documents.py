"""JSON into Arrow: lines of objects, an array of them, an object of columns; whole numbers pass through no float."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import ToolFailure
from .bounds import named
from .cells import Convention, read_column
from .encoding import utf8
from .extents import require_columns, require_shallow
from .models import ReadOptions
from .opening import Opened
from .plain import MISSING
from .values import array_of

if TYPE_CHECKING:
    import pyarrow as pa

# Whole numbers that a double may not hold, and constants that Arrow does not know.
NEEDS_PYTHON = re.compile(rb"(?<![\d.])\d{16}|\bNaN\b|Infinity\b")
SHAPES = "Readable: a JSON object per line, an array of objects or rows, or an object of equally long columns."
BLOCKS = (1 << 20, (1 << 31) - 1)


def read_json(file: Opened, options: ReadOptions) -> tuple[pa.Table, list[str]]:
    """Objects side by side in columns; nested objects become columns called after their path.

    Raises:
        ToolFailure: text that is no JSON, or JSON that is no table.
    """
    data, notes = utf8(file, options.encoding)
    require_shallow(file.name, data)
    start = data.lstrip()[:1]
    if start not in (b"{", b"["):
        raise ToolFailure(f"{file.name} is no JSON: it begins with {start.decode(errors='replace')!r}", SHAPES)
    table = None if start == b"[" or NEEDS_PYTHON.search(data) else _by_arrow(data)
    if table is None or (file.suffix == ".json" and _is_document(table)):
        table, said = _by_python(file.name, data)
        notes += said
    table = _flat(table)
    table, times = _with_times(table)
    return table, ["types inferred from text", *notes, *times]


def _by_arrow(data: bytes) -> pa.Table | None:
    """Lines of objects whose values agree in type, fast; None for anything else."""
    import pyarrow as pa
    import pyarrow.json as reader

    for block in BLOCKS:
        read = reader.ReadOptions(block_size=min(block, len(data) + 1))
        try:
            first = reader.read_json(pa.BufferReader(data), read)
            schema = pa.schema([(field.name, _as_text(field.type)) for field in first.schema])
            if schema == first.schema:
                return first
            # Arrow takes text that looks like a time for one, and drops its offset.
            parse = reader.ParseOptions(explicit_schema=schema)
            return reader.read_json(pa.BufferReader(data), read, parse)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            continue
    return None


def _as_text(kind: pa.DataType) -> pa.DataType:
    import pyarrow as pa

    if pa.types.is_timestamp(kind):
        return pa.string()
    if pa.types.is_struct(kind):
        return pa.struct([(field.name, _as_text(field.type)) for field in kind])
    return pa.list_(_as_text(kind.value_type)) if pa.types.is_list(kind) else kind


def _is_document(table: pa.Table) -> bool:
    """A single object that holds others, or lists, may be a table by itself."""
    import pyarrow as pa

    return table.num_rows == 1 and any(pa.types.is_nested(kind) for kind in table.schema.types)


def _by_python(name: str, data: bytes) -> tuple[pa.Table, list[str]]:
    try:
        whole: Any = json.loads(data, object_pairs_hook=_object)
    except json.JSONDecodeError:
        return _from_objects(name, _lines(name, data))
    if isinstance(whole, list):
        return _from_list(name, whole)
    return _from_object(name, whole)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        twice = sorted(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise ToolFailure(f"an object holds {named(twice)} twice", "Pass a file whose objects name each value once.")
    return made


def _lines(name: str, data: bytes) -> list[Any]:
    found = list[Any]()
    for number, line in enumerate(data.split(b"\n"), 1):
        if line.strip():
            try:
                found.append(json.loads(line, object_pairs_hook=_object))
            except json.JSONDecodeError as error:
                raise ToolFailure(
                    f"{name} is no JSON: line {number}: {error.msg} at character {error.pos + 1}", SHAPES
                ) from error
    return found


def _from_list(name: str, rows: list[Any]) -> tuple[pa.Table, list[str]]:
    if rows and all(isinstance(row, list) for row in rows):
        return _from_rows(name, rows, [])
    return _from_objects(name, rows)


def _from_rows(name: str, rows: Sequence[Sequence[Any]], names: Sequence[str]) -> tuple[pa.Table, list[str]]:
    """Rows without names; the first names the columns where all of it is text and not all below it."""
    width = max(map(len, rows), default=len(names))
    if any(len(row) != width for row in rows):
        raise ToolFailure(f"{name} holds rows of different lengths", SHAPES)
    body, said = rows, list[str]()
    if not names and len(rows) > 1 and all(isinstance(cell, str) for cell in rows[0]):
        names, body, said = rows[0], rows[1:], ["the first row names the columns"]
    elif not names:
        names, said = [f"column_{place + 1}" for place in range(width)], ["no names: columns are called column_1, …"]
    table, notes = named_table([str(label) for label in names], body)
    return table, [*said, *notes]


def named_table(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> tuple[pa.Table, list[str]]:
    """Rows of values under distinct names, each column with the type of its values."""
    return table_of({name: [row[place] for row in rows] for place, name in enumerate(names)})


def _from_objects(name: str, rows: Sequence[Any]) -> tuple[pa.Table, list[str]]:
    if not rows or not all(isinstance(row, dict) for row in rows):
        raise ToolFailure(f"{name} holds no objects" if rows else f"{name} holds no rows", SHAPES)
    flat = [_object(list(_paths(row))) for row in rows]
    labels = dict.fromkeys(label for row in flat for label in row)
    require_columns(name, len(labels))
    return table_of({label: [row.get(label) for row in flat] for label in labels})


def _paths(row: Mapping[str, Any], above: str = "") -> Iterable[tuple[str, Any]]:
    for key, value in row.items():
        if isinstance(value, dict) and value:
            yield from _paths(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", None if value == {} else value


def _from_object(name: str, whole: Mapping[str, Any]) -> tuple[pa.Table, list[str]]:
    """What pandas writes by columns or split, an object around a list of objects, or else one row."""
    values = list(whole.values())
    if {"columns", "data"} <= set(whole) <= {"columns", "index", "data"}:
        return _from_rows(name, whole["data"], whole["columns"])
    lists = [key for key, value in whole.items() if isinstance(value, list) and value and isinstance(value[0], dict)]
    if len(lists) == 1 and len(whole) <= 10:
        table, notes = _from_objects(name, whole[lists[0]])
        left = [key for key in whole if key != lists[0]]
        return table, [f"rows are those of {lists[0]!r}{f'; left out: {named(left)}' if left else ''}", *notes]
    if values and all(isinstance(value, list) for value in values) and len({len(value) for value in values}) == 1:
        table, notes = table_of(dict(whole))
        return table, ["an object of columns", *notes]
    if len(values) > 0 and all(isinstance(value, dict) for value in values):
        rows = list(dict.fromkeys(key for value in values for key in value))
        if all(key.isdigit() for key in rows):
            table, notes = table_of({key: [value.get(row) for row in rows] for key, value in whole.items()})
            return table, ["an object of columns", *notes]
    return _from_objects(name, [whole])


def table_of(columns: Mapping[str, Sequence[Any]]) -> tuple[pa.Table, list[str]]:
    """Columns of Python values, each with the type that they share; and what is text since they share none."""
    import pyarrow as pa

    made = {label: array_of(values) for label, values in columns.items()}
    reasons = dict[str, list[str]]()
    for label, (_, reason) in made.items():
        if reason:
            reasons.setdefault(reason, []).append(label)
    table = pa.table({label: array for label, (array, _) in made.items()})
    return table, [f"{reason}: {named(labels)}" for reason, labels in reasons.items()]


def _flat(table: pa.Table) -> pa.Table:
    """Objects in cells as columns of their own, called after their path."""
    import pyarrow as pa

    while any(pa.types.is_struct(kind) and kind.num_fields for kind in table.schema.types):
        table = table.flatten()
    for place, field in enumerate(table.schema):
        if pa.types.is_struct(field.type):
            table = table.set_column(place, field.name, pa.nulls(table.num_rows))
    return table


def _with_times(table: pa.Table) -> tuple[pa.Table, list[str]]:
    """Columns of text that are all ISO times as times: JSON has no other way to write one."""
    import pyarrow as pa

    said = dict[str, list[str]]()
    for place, field in enumerate(table.schema):
        if not pa.types.is_string(field.type):
            continue
        read = read_column(table.column(place), Convention(), ("", *MISSING))
        if pa.types.is_timestamp(read.values.type) and not read.undecided:
            table = table.set_column(place, field.name, read.values)
            for what in read.said:
                said.setdefault(what, []).append(field.name)
        elif any("offset" in what for what in read.said):
            said.setdefault(read.said[0], []).append(field.name)
    return table, [f"{what}: {named(names)}" for what, names in said.items()]
