"""Sheets of workbooks: Excel's and LibreOffice's."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any

from ..errors import ToolFailure, unknown
from .bounds import named
from .documents import named_table
from .layout import distinct
from .models import ReadOptions
from .opening import Opened

if TYPE_CHECKING:
    import pyarrow as pa

Row = Sequence[Any]


def read_workbook(file: Opened, options: ReadOptions) -> tuple[pa.Table, list[str]]:
    """The only sheet with cells, or the chosen one; its first row names the columns.

    Raises:
        ToolFailure: a damaged or protected workbook, no such sheet, or several.
    """
    import python_calamine as calamine

    try:
        book = calamine.CalamineWorkbook.from_filelike(BytesIO(file.data))
        name, rows = _chosen(file.name, book, options.sheet)
    except calamine.PasswordError as error:
        raise ToolFailure(f"{file.name} is protected by a password", "Pass it without one.") from error
    except calamine.CalamineError as error:
        raise ToolFailure(f"{file.name} is no workbook that can be read: {error}", "Pass a whole file.") from error
    filled, empty = _cleaned(rows[options.skipped :], options.missing)
    if not filled:
        raise ToolFailure(f"sheet {name!r} of {file.name} is empty", "Pass options={'sheet': ...} or fewer skip_rows.")
    _require_names(name, filled, options)
    header, body, said = _headed(filled, options.header)
    table, notes = named_table(distinct(header), body)
    return table, [f"sheet {name!r}", *empty, *said, *notes]


def _chosen(file: str, book: Any, wanted: str) -> tuple[str, list[Row]]:
    names: list[str] = book.sheet_names
    if wanted:
        if wanted not in names:
            raise unknown(f"sheet of {file}", wanted, names)
        return wanted, book.get_sheet_by_name(wanted).to_python()
    filled = {name: rows for name in names if (rows := book.get_sheet_by_name(name).to_python())}
    if len(filled) > 1:
        raise ToolFailure(
            f"{file} has {len(filled)} sheets with cells", f"Pass options={{'sheet': one of them}}: {named(filled)}."
        )
    return next(iter(filled.items())) if filled else (names[0] if names else "", [])


def _require_names(name: str, rows: Sequence[Row], options: ReadOptions) -> None:
    """A title above the header would name the columns otherwise."""
    first, widest = _filled(rows[0]), max(map(_filled, rows))
    if options.header is None and first == 1 < widest - 1:
        raise ToolFailure(
            f"the first row of sheet {name!r} has 1 cell, others {widest}: {rows[0]!r:.80}",
            "Pass options={'skip_rows': ...} for lines above the header, or header=true.",
        )


def _filled(row: Row) -> int:
    return sum(cell is not None for cell in row)


def _cleaned(rows: Sequence[Row], missing: Sequence[str]) -> tuple[list[list[Any]], list[str]]:
    """The rows that hold anything, and how many between them do not."""
    cells = [[_value(cell) for cell in row] for row in rows]
    filled = [place for place, row in enumerate(cells) if any(cell is not None for cell in row)]
    kept = [[None if cell in missing else cell for cell in cells[place]] for place in filled]
    empty = filled[-1] - filled[0] + 1 - len(filled) if filled else 0
    return kept, [f"{empty} empty rows skipped"] if empty else []


def _value(cell: Any) -> Any:
    """Empty as None, and numbers whole where they are: workbooks know only floats."""
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 2**53:
        return int(cell)
    return None if cell == "" else cell


def _headed(rows: list[list[Any]], wanted: bool | None) -> tuple[list[str], list[list[Any]], list[str]]:
    """Names, rows and what was found; a first row without any text is values, as is one that is not asked to name."""
    first = rows[0]
    header = wanted if wanted is not None else any(isinstance(cell, str) for cell in first)
    if header:
        labels = ["" if cell is None else str(cell).strip().replace("`", "") for cell in first]
        return [label or f"column_{place}" for place, label in enumerate(labels, 1)], rows[1:], []
    said = "the first row holds values, so columns are called column_1, …; header=true takes it as names"
    return [f"column_{place + 1}" for place in range(len(first))], rows, [said]
