"""Bounded lists: a page, how many there are, and the cursor of the next page.

A complete list is cut by offset; one that grows while it is read by the place of the item that came last (a keyset).
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Generic, TypeVar

from pydantic import BaseModel, Field

from .errors import ToolFailure

T = TypeVar("T")
MAX_CURSOR = 400

Limit = Annotated[int, Field(ge=1, le=100)]
Cursor = Annotated[str, Field(description="next_cursor")]


class Page(BaseModel, Generic[T]):
    """One page of a list; `total` where counting is cheap."""

    items: list[T]
    total: int | None = None
    next_cursor: str | None = None


class OwnPage(Page[T]):
    """One page of a list that each of several servers has for itself."""

    notes: list[str] = []


@dataclass(frozen=True)
class Position:
    """Where an item stands in a list that is ordered by time, and by id where times are equal."""

    at: float
    id: str


def offset_of(cursor: str) -> int:
    """The position a cursor stands for.

    Raises:
        ToolFailure: the text is not a cursor that a page returned.
    """
    if not cursor:
        return 0
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) <= 12):
        raise no_cursor(cursor)
    return int(cursor)


def page(items: Sequence[T], limit: int, cursor: str) -> Page[T]:
    """Cut one page out of a complete list."""
    start = offset_of(cursor)
    end = start + limit
    return Page(items=list(items[start:end]), total=len(items), next_cursor=str(end) if end < len(items) else None)


def keyset_cursor(name: str, last: Position) -> str:
    """The opaque cursor of what follows an item in the list called `name`."""
    return encoded([name, float(last.at), last.id])


def encoded(place: Sequence[object]) -> str:
    """An opaque cursor that holds plain values."""
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")


def position_of(name: str, cursor: str) -> Position | None:
    """The item after which the page begins; None without a cursor.

    Raises:
        ToolFailure: the text is not a cursor that a page of this list returned.
    """
    if not cursor:
        return None
    match decoded(cursor):
        case [str(of), float(at), str(identity)] if of == name and math.isfinite(at):
            return Position(at, identity)
        case _:
            raise no_cursor(cursor)


def keyset_page(name: str, rows: Sequence[T], limit: int, where: Callable[[T], Position]) -> tuple[list[T], str | None]:
    """Cut `limit` items out of rows that were asked for with one more, and the cursor of the next page."""
    shown = list(rows[:limit])
    return shown, keyset_cursor(name, where(shown[-1])) if len(rows) > limit else None


def decoded(cursor: str) -> object:
    """What `encoded` was given, as a list; None for any other text."""
    if len(cursor) > MAX_CURSOR:
        return None
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        return json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (ValueError, RecursionError, binascii.Error):
        return None


def no_cursor(cursor: str) -> ToolFailure:
    """What to say to a cursor that no page of the list has returned."""
    return ToolFailure(f"{cursor[:80]!r} is not a cursor of this list", "Pass next_cursor of the page before, or none.")
