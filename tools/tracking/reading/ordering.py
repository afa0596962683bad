"""The order of a search as MLflow has it, and where a page of it ended.

What has a value comes first, then NaN, then what has none; then the runs that started last, then by id.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...paging import decoded, encoded, no_cursor
from .conditions import COLUMNS, LARGEST, TABLES, Condition
from .database import Database
from .query import Order, Query

NAME = "runs"
TIMES = ("start_time", "end_time")


@dataclass(frozen=True)
class Sorted:
    """The columns that order rows of `runs r`, each going up or down, and what they are read from; none is null.

    `text` is the column whose values are too long for a cursor: they are looked up by the id of the run.
    """

    columns: list[tuple[str, bool]]
    joined: Condition = ("", [])
    text: int | None = None

    @property
    def selected(self) -> str:
        return ", ".join(column for column, _ in self.columns)

    @property
    def by(self) -> str:
        """Places of the selected columns, so that none is computed twice."""
        return ", ".join(f"{place} {'asc' if up else 'desc'}" for place, (_, up) in enumerate(self.columns, 1))


def sorted_by(query: Query) -> Sorted:
    start = ("coalesce(r.start_time, 0)", False)
    identity = ("r.run_uuid", True)
    if query.order is None:
        return Sorted([start, identity])
    from mlflow.utils.search_utils import SearchUtils

    key: str = SearchUtils.translate_key_alias(query.order.key)
    up = query.order.ascending
    if query.order.kind == "attribute":
        column = f"r.{COLUMNS[key]}"
        absent, last = (f"case when {column} is null then 1 else 0 end", True), [start, identity]
        if key in TIMES:
            value = (f"coalesce({column}, 0)", up)
            return Sorted([absent, value, *(last[1:] if key == "start_time" else last)])
        return Sorted([absent, (f"coalesce({column}, '')", up), *last], text=1)
    return _by_key(query.order, key, [start, identity])


def _by_key(order: Order, key: str, last: list[tuple[str, bool]]) -> Sorted:
    joined = (f"left join {TABLES[order.kind]} o on o.run_uuid = r.run_uuid and o.key = ?", [key])
    if order.kind == "metric":
        absent = "case when o.is_nan then 1 when o.value is null then 2 else 0 end"
        return Sorted([(absent, True), ("coalesce(o.value, 0)", order.ascending), *last], joined)
    absent = "case when o.value is null then 1 else 0 end"
    return Sorted([(absent, True), ("coalesce(o.value, '')", order.ascending), *last], joined, text=1)


def cursor_of(query: Query, order: Sorted, place: Sequence[Any]) -> str:
    """The cursor of what follows a row."""
    kept = [None if number == order.text else value for number, value in enumerate(place)]
    return encoded([NAME, query.digest, *kept])


def place_of(query: Query, order: Sorted, cursor: str, database: Database) -> list[Any] | None:
    """The row after which a page begins; None for the first one.

    Raises:
        ToolFailure: the text is not a cursor that a page of this search returned.
    """
    if not cursor:
        return None
    match decoded(cursor):
        case [str(name), str(digest), *place] if (name, digest) == (NAME, query.digest) and _fits(order, place):
            return _looked_up(order, place, database) or _refused(cursor)
        case _:
            return _refused(cursor)


def _fits(order: Sorted, place: Sequence[Any]) -> bool:
    *numbers, identity = place or [None]
    kinds = (value is None if number == order.text else _is_number(value) for number, value in enumerate(numbers))
    return len(place) == len(order.columns) and isinstance(identity, str) and all(kinds)


def _is_number(value: Any) -> bool:
    """A larger integer is none of a database."""
    return isinstance(value, float) or (type(value) is int and abs(value) < LARGEST)


def _looked_up(order: Sorted, place: list[Any], database: Database) -> list[Any] | None:
    if order.text is None:
        return place
    text, values = order.joined
    column = order.columns[order.text][0]
    rows = database.rows(f"select {column} from runs r {text} where r.run_uuid = ?", [*values, place[-1]])
    return [*place[: order.text], rows[0][0], *place[order.text + 1 :]] if rows else None


def _refused(cursor: str) -> list[Any]:
    raise no_cursor(cursor)


def after(order: Sorted, place: Sequence[Any]) -> Condition:
    """What comes behind a row in an order."""
    parts, values = list[str](), list[Any]()
    for depth, (column, up) in enumerate(order.columns):
        equal = [f"{name} = ?" for name, _ in order.columns[:depth]]
        parts.append(" and ".join([*equal, f"{column} {'>' if up else '<'} ?"]))
        values += place[: depth + 1]
    return f"({' or '.join(f'({part})' for part in parts)})", values
