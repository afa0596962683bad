"""Choose rows by checked conditions; no text of an agent is ever evaluated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..data.store import Dataset
from ..errors import ToolFailure, unknown
from .models import Condition

if TYPE_CHECKING:
    import pyarrow as pa

SPLIT = "split"
COMPARE = {"==": "equal", "!=": "not_equal", "<": "less", "<=": "less_equal", ">": "greater", ">=": "greater_equal"}


def compute() -> Any:
    """The functions of `pyarrow.compute`, which come into being at run time, unseen by type checkers."""
    import pyarrow.compute as functions

    return functions


def conditions_for(source: Dataset, split: str, conditions: Sequence[Condition]) -> list[Condition]:
    """The conditions of a call, its split among them.

    Raises:
        ToolFailure: a column that does not exist, or a value its operator cannot take.
    """
    if split and SPLIT not in source.info.columns:
        hint = f"Columns: {', '.join(source.info.columns[:8])}. Or validate the part that split_dataset made."
        raise ToolFailure(f"{source.handle} has no column 'split'", hint)
    source.require([condition.column for condition in conditions])
    for condition in conditions:
        _check_value(condition)
    return [*([Condition(column=SPLIT, operator="==", value=split)] if split else []), *conditions]


def select(table: pa.Table, conditions: Sequence[Condition]) -> tuple[pa.Table, pa.Array]:
    """The rows that satisfy all conditions, and their numbers in the table, from 1.

    Raises:
        ToolFailure: a value that cannot be compared with its column, or a split that no row belongs to.
    """
    import numpy as np
    import pyarrow as pa

    pc, rows = compute(), pa.array(np.arange(1, table.num_rows + 1))
    for condition in conditions:
        column = table.column(condition.column)
        try:
            mask = _mask(column, condition)
            kept, rows = table.filter(mask), rows.filter(mask.combine_chunks())
        except (pa.ArrowException, TypeError, OverflowError) as error:
            given = f"{condition.column} {condition.operator} {condition.value!r}"
            raise ToolFailure(f"{given} cannot be compared: {error}", f"The column is {column.type}.") from error
        if condition.column == SPLIT and condition.operator == "==" and table.num_rows and not kept.num_rows:
            raise unknown("split", condition.value, (str(value) for value in pc.unique(column).to_pylist()))
        table = kept
    return table, rows


def _mask(column: pa.ChunkedArray, condition: Condition) -> pa.ChunkedArray:
    import pyarrow as pa

    pc = compute()
    if condition.operator == "is_null":
        return pc.is_null(column, nan_is_null=True)
    if condition.operator == "not_null":
        return pc.invert(pc.is_null(column, nan_is_null=True))
    if condition.operator in ("in", "not_in"):
        found = pc.is_in(column, value_set=pa.array(condition.value).cast(column.type))
        wanted = found if condition.operator == "in" else pc.invert(found)
    else:
        value: Any = pa.scalar(condition.value)
        value = value.cast(column.type) if pa.types.is_temporal(column.type) else value
        wanted = getattr(pc, COMPARE[condition.operator])(column, value)
    return pc.and_(pc.fill_null(wanted, False), pc.invert(pc.is_null(column, nan_is_null=True)))


def _check_value(condition: Condition) -> None:
    value, operator = condition.value, condition.operator
    if operator in ("is_null", "not_null"):
        fits, wanted = value is None, "no value"
    elif operator in ("in", "not_in"):
        plain = isinstance(value, list) and all(isinstance(item, str | int | float) for item in value)
        fits, wanted = plain and bool(value), "a list of values"
    else:
        fits, wanted = isinstance(value, str | int | float), "one text, number or boolean"
    if not fits:
        raise ToolFailure(f"{condition.column} {operator} takes {wanted}, not {value!r}", f"Pass {wanted} as `value`.")
