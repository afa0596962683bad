"""The columns of a table with the types that their cells have, or that were asked for."""

# Arrow makes its compute functions when it is imported, out of a checker's sight.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from ..errors import ToolFailure, unknown
from .bounds import named
from .cells import Column, Convention, as_kind, in_parallel, look_at, missing_words, read_column
from .models import ColumnKind, ReadOptions
from .moments import epoch_of, from_epoch
from .numerals import EITHER, POINT, Decimal
from .pieces import Stored, pieces_of

if TYPE_CHECKING:
    import pyarrow as pa

TIMELY = re.compile(r"(?i)(^|_|\b)(t|ts|d|dt|at|time|date|day|epoch|timestamp|datetime|created|updated)(_|\b|$)")
DOUBTS = 5
WAY_OUT = (
    "such columns are text; load_dataset with options null_values, or types and bad_cells, makes the odd cells missing"
)


class Texts(Protocol):
    """A table of text, of which one column is asked for at a time."""

    @property
    def column_names(self) -> list[str]: ...

    def column(self, name: str, /) -> pa.ChunkedArray | Stored: ...


Keep = Callable[[str, Column], Column]


def typed(table: pa.Table, options: ReadOptions, separator: str) -> tuple[pa.Table, list[str]]:
    """A table of text with types, and what was read how; `separator` is that of the file.

    Raises:
        ToolFailure: numbers or dates that can be read in two ways, or cells that an asked type cannot take.
    """
    columns = read_columns(table, options, separator)
    return _joined(table, columns), notes_on(columns)


def read_columns(
    table: Texts, options: ReadOptions, separator: str, keep: Keep | None = None, workers: int | None = None
) -> dict[str, Column]:
    """`typed`, column by column.

    Args:
        keep: is given each column, and returns what of it is to stay in memory; its values may be their limits alone.
        workers: how many columns are read at once.
    """
    _check(table, options)

    def read(names: Sequence[str], convention: Convention) -> dict[str, Column]:
        return _read(table, names, convention, options, keep, workers)

    convention = Convention(options.decimal, bool(options.decimal), options.day_first)
    columns = read(table.column_names, convention)
    settled = _settled(table, columns, convention, separator)
    columns |= read([name for name, column in columns.items() if _depends(column, convention, settled)], settled)
    if separator == ";" and not settled.decimal:
        columns |= {name: replace(columns[name], undecided="decimal") for name in _thousands(table, columns)}
    if undecided := {name: column.undecided for name, column in columns.items() if column.undecided}:
        raise _question(table, undecided)
    return columns


def retyped(table: pa.Table, options: ReadOptions) -> tuple[pa.Table, list[str]]:
    """A table that has types, with those that were asked for, and with `null_values` missing.

    Raises:
        ToolFailure: a type that a column cannot take.
    """
    _check(table, options)
    table = _without(table, options.missing)
    convention = Convention(options.decimal, bool(options.decimal), options.day_first)
    columns = {
        name: _recast(name, table.column(name), kind, convention, options) for name, kind in options.asked.items()
    }
    if undecided := {name: column.undecided for name, column in columns.items() if column.undecided}:
        raise _question(table, undecided)
    for name, column in columns.items():
        table = table.set_column(table.column_names.index(name), name, column.values)
    return table, [*notes_on(columns), *hints(table, [name for name in table.column_names if name not in columns])]


def hints(table: Texts, names: Sequence[str]) -> list[str]:
    """The columns of text that hold numbers or times, all or nearly; a text is left as it is."""
    import pyarrow as pa

    texts = ((name, table.column(name)) for name in names)
    seen = {name: look_at(column) for name, column in texts if pa.types.is_string(column.type)}
    whole = dict[str, list[str]]()
    for name, (kind, _) in seen.items():
        if kind:
            whole.setdefault(kind, []).append(name)
    said = [
        f"text that is all {kind}; load_dataset with options types reads it so: {named(names)}"
        for kind, names in whole.items()
    ]
    return [*said, *_doubts({name: doubt for name, (_, doubt) in seen.items() if doubt})]


def _check(table: Texts, options: ReadOptions) -> None:
    for name in options.asked:
        if name not in table.column_names:
            raise unknown("column in `types`", name, table.column_names)


def _read(
    table: Texts,
    names: Sequence[str],
    convention: Convention,
    options: ReadOptions,
    keep: Keep | None,
    workers: int | None,
) -> dict[str, Column]:
    missing = missing_words(options)

    def one(name: str) -> Column:
        column, kind = table.column(name), options.asked.get(name)
        found = as_kind(name, column, kind, convention, options) if kind else read_column(column, convention, missing)
        return keep(name, found) if keep else found

    return dict(zip(names, in_parallel(one, names, workers), strict=True))


def _settled(table: Texts, columns: Mapping[str, Column], convention: Convention, separator: str) -> Convention:
    """What the columns that prove how the file writes numbers and dates say about those that do not.

    Where nothing is proven, a comma between digits of a file that commas separate groups thousands.
    """
    import pyarrow.compute as pc

    marks: set[Decimal] = {column.decimal for column in columns.values() if column.decimal}
    plain = [name for name, column in columns.items() if _pointed(column)] if separator == ";" else []
    texts = (pc.utf8_ltrim(piece, "+-") for name in plain for piece in pieces_of(table.column(name)))
    if any(pc.any(pc.match_substring_regex(text, POINT)).as_py() for text in texts):
        marks.add(".")
    firsts = {column.day_first for column in columns.values() if column.day_first is not None}
    decimal: Decimal = convention.decimal
    if not decimal and len(marks) == 1:
        decimal = next(iter(marks))
    elif not decimal and not marks and separator == ",":
        decimal = "."
    day_first = next(iter(firsts)) if convention.day_first is None and len(firsts) == 1 else convention.day_first
    return replace(convention, decimal=decimal, day_first=day_first)


def _depends(column: Column, before: Convention, after: Convention) -> bool:
    """Whether the column would be read otherwise now; 1.234 is a thousand where decimals have commas."""
    return bool(column.undecided) or (_pointed(column) and after.decimal == "," and not before.decimal)


def _pointed(column: Column) -> bool:
    """Whether it was read with decimal points that prove nothing."""
    import pyarrow as pa

    return not column.decimal and pa.types.is_floating(column.values.type)


def _thousands(table: Texts, columns: Mapping[str, Column]) -> list[str]:
    """Columns of nothing but 1.234: where semicolons separate, as with decimal commas, that may be a thousand."""
    import pyarrow.compute as pc

    def has(name: str) -> bool:
        pieces = pieces_of(table.column(name))
        return any(pc.any(pc.match_substring_regex(piece, EITHER)).as_py() for piece in pieces)

    return [name for name, column in columns.items() if _pointed(column) and not column.said and has(name)]


def _question(table: Texts, undecided: Mapping[str, str]) -> ToolFailure:
    name, option = next(iter(undecided.items()))
    sample = [text for text in table.column(name).slice(0, 20).to_pylist() if text][:3]
    if option == "decimal":
        ways = "options={'decimal': '.'} or ','; the other mark groups thousands"
    else:
        ways = "options={'day_first': true} or false"
    same = [other for other, asked in undecided.items() if asked == option]
    return ToolFailure(
        f"{named(same)} can be read in two ways: {', '.join(map(str, sample))}",
        f"Pass {ways}; types={{'{name}': 'text'}} keeps it as it is.",
    )


def _joined(table: pa.Table, columns: Mapping[str, Column]) -> pa.Table:
    import pyarrow as pa

    return pa.table({name: columns[name].values for name in table.column_names})


def notes_on(columns: Mapping[str, Column]) -> list[str]:
    said = dict[str, list[str]]()
    for name, column in columns.items():
        for what in column.said:
            said.setdefault(what, []).append(name)
    if marked := [f"{name} ({column.marked})" for name, column in columns.items() if column.marked]:
        said["cells like NA or null in text read as missing"] = marked
    if epochs := [f"{name} ({unit})" for name, column in columns.items() if (unit := _epoch(name, column))]:
        said["whole numbers that look like times; types 'time' reads them so"] = epochs
    doubts = _doubts({name: column.doubt for name, column in columns.items() if column.doubt})
    return [f"{text}: {named(names)}" for text, names in said.items()] + doubts


def _doubts(doubts: Mapping[str, str]) -> list[str]:
    notes = [f"{name}: {doubt}" for name, doubt in list(doubts.items())[:DOUBTS]]
    if len(doubts) > DOUBTS:
        notes.append(f"nearly numbers or times as well: {named(list(doubts)[DOUBTS:])}")
    open_ones = any(not doubt.endswith("missing") for doubt in doubts.values())
    return [*notes, WAY_OUT] if open_ones else notes


def _epoch(name: str, column: Column) -> str:
    import pyarrow as pa

    return epoch_of(column.values) if pa.types.is_integer(column.values.type) and TIMELY.search(name) else ""


def _recast(
    name: str, column: pa.ChunkedArray, kind: ColumnKind, convention: Convention, options: ReadOptions
) -> Column:
    """A column with a type as the type that was asked for."""
    import pyarrow as pa

    found = column.type
    written = kind == "time" and options.time_format and pa.types.is_integer(found)
    if written or pa.types.is_string(found) or pa.types.is_large_string(found):
        return as_kind(name, column.cast(pa.string()), kind, convention, options)
    same = {
        "number": pa.types.is_integer(found) or pa.types.is_floating(found) or pa.types.is_decimal(found),
        "time": pa.types.is_temporal(found),
        "boolean": pa.types.is_boolean(found),
    }
    if same.get(kind) or pa.types.is_null(found):
        return Column(column)
    if kind == "time" and (unit := epoch_of(column)):
        return Column(from_epoch(column, unit), (f"numbers read as times ({unit})",))
    try:
        return Column(column.cast({"text": pa.string(), "number": pa.int64(), "boolean": pa.bool_()}[kind]))
    except (KeyError, pa.ArrowException) as error:
        raise ToolFailure(f"{name} is {found}, which cannot be read as {kind}", "Leave it out of `types`.") from error


def _without(table: pa.Table, null_values: list[str]) -> pa.Table:
    """The cells of text and numbers that equal one of the values, as missing."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for place, field in enumerate(table.schema if null_values else ()):
        kind = field.type
        if not (pa.types.is_string(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind)):
            continue
        column = table.column(place)
        text = column.cast(pa.string())
        gone = pc.fill_null(pc.is_in(text, value_set=pa.array(null_values, pa.string())), False)
        table = table.set_column(place, field.name, pc.if_else(gone, pa.scalar(None, kind), column))
    return table
