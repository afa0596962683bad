"""How deep, wide and long what is read may be: beyond that, native readers crash and tools take minutes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..errors import ToolFailure

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

MAX_DEPTH = 64
MAX_COLUMNS = 10_000
MAX_CELL_MB = 16
# A few bytes may stand for any number of rows: of nothing, or of the same value.
MAX_CELLS = 4_000_000_000
NOT_BRACKETS = bytes(set(range(256)) - set(b'[]{}"'))
ESCAPED = re.compile(rb"\\.", re.DOTALL)
CHUNK = 1 << 22


def require_shallow(name: str, data: bytes) -> None:
    """Refuse JSON that is nested too deep, before a reader that calls itself for each level gets it."""
    plain = ESCAPED.sub(b"", data) if b"\\" in data else data
    marks = plain.translate(None, NOT_BRACKETS)
    depth = quotes = 0
    for start in range(0, len(marks), CHUNK):
        depth, quotes, deepest = _depth(marks[start : start + CHUNK], depth, quotes)
        if deepest > MAX_DEPTH:
            raise ToolFailure(f"{name} is nested deeper than {MAX_DEPTH} levels", "Pass a table: one object a line.")


def _depth(marks: bytes, depth: int, quotes: int) -> tuple[int, int, int]:
    """Depth and number of quotes after the marks, and the greatest depth among them."""
    import numpy as np

    found = np.frombuffer(marks, dtype=np.uint8)
    quoted = quotes + np.cumsum(found == ord('"'), dtype=np.int32)
    steps = np.where(quoted % 2 == 0, _steps(found), 0)
    levels = depth + np.cumsum(steps, dtype=np.int32)
    return int(levels[-1]), int(quoted[-1]), int(levels.max())


def _steps(marks: np.ndarray) -> np.ndarray:
    """One up for what opens, one down for what closes; a quote is neither."""
    import numpy as np

    opens = np.isin(marks, list(b"[{")).astype(np.int32)
    return opens - np.isin(marks, list(b"]}")).astype(np.int32)


def require_columns(name: str, count: int) -> None:
    """Refuse more columns than a table may have."""
    if count > MAX_COLUMNS:
        raise ToolFailure(
            f"{name} has {count} columns, more than {MAX_COLUMNS}",
            "Pass fewer columns, or turn them into rows of name and value.",
        )


def require_cells(name: str, rows: int, columns: int) -> None:
    """Refuse more columns, or more cells in all, than a table may have."""
    require_columns(name, columns)
    if rows * max(columns, 1) > MAX_CELLS:
        raise ToolFailure(
            f"{name} has {rows} rows of {columns} columns, more than {MAX_CELLS} cells", "Pass it in parts."
        )


def require_extents(name: str, table: pa.Table) -> None:
    """Refuse a table that has too many columns or cells, or a text that is no cell."""
    import pyarrow as pa

    require_cells(name, table.num_rows, table.num_columns)
    for field, column in zip(table.schema, table.columns, strict=True):
        if not (pa.types.is_string(field.type) or pa.types.is_large_string(field.type)):
            continue
        if column.nbytes > MAX_CELL_MB << 20 and _longest(column) > MAX_CELL_MB << 20:
            raise ToolFailure(
                f"{name}: a cell of {field.name} holds more than {MAX_CELL_MB} MB",
                "Leave that column out, or store its contents as files.",
            )


def _longest(column: pa.ChunkedArray) -> int:
    """Bytes of the longest text."""
    import pyarrow.compute as pc

    lengths = pc.call_function("binary_length", [column])
    return pc.call_function("min_max", [lengths]).as_py()["max"] or 0
