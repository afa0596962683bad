"""The first rows of a table, small enough for an answer."""

from __future__ import annotations

import json
import math
from datetime import date, datetime, time
from typing import TYPE_CHECKING, Any

from ..numbers import exact
from .models import Cell

if TYPE_CHECKING:
    import pyarrow as pa

ROWS, COLUMNS, CHARACTERS = 20, 12, 60
# Of all cells together, so that an answer stays below 1,500 tokens.
TOGETHER = 3000


def first_rows(table: pa.Table) -> tuple[list[dict[str, Cell]], list[str]]:
    """At most 20 rows of 12 columns, and what was left out beside further rows."""
    names = table.column_names[:COLUMNS]
    rows, left, cut = list[dict[str, Cell]](), TOGETHER, False
    columns = [_values(table.column(name).slice(0, ROWS)) for name in names]
    for values in zip(*columns, strict=True):
        cells = {name: _cell(value) for name, value in zip(names, values, strict=True)}
        cut = cut or any(isinstance(cell, str) and len(cell) > CHARACTERS for cell in cells.values())
        shown = {name: _short(cell) for name, cell in cells.items()}
        left -= sum(len(name) + len(str(cell)) for name, cell in shown.items())
        if rows and left < 0:
            break
        rows.append(shown)
    wide = table.num_columns - len(names)
    said = [f"first_rows leaves out {wide} columns"] if wide > 0 else []
    return rows, said + ([f"first_rows cuts cells at {CHARACTERS} characters"] if cut else [])


def _values(column: pa.ChunkedArray) -> list[Any]:
    """The cells; times that Python's calendar does not reach as text."""
    import pyarrow as pa

    try:
        values: list[Any] = column.to_pylist()
    except (OverflowError, ValueError):
        values = column.cast(pa.string()).to_pylist()
    return values


def _short(cell: Cell) -> Cell:
    return f"{cell[: CHARACTERS - 1]}…" if isinstance(cell, str) and len(cell) > CHARACTERS else cell


def _cell(value: Any) -> Cell:
    """Whole numbers beyond 2^53 and what JSON does not know as text."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return exact(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    return json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, list | dict) else str(value)
