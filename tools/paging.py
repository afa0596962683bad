"""Bounded lists: a page, how many there are, and the cursor of the next page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Generic, TypeVar

from pydantic import BaseModel, Field

from .errors import ToolFailure

T = TypeVar("T")

Limit = Annotated[int, Field(ge=1, le=100, description="Items per page.")]
Cursor = Annotated[str, Field(description="next_cursor of the page before.")]


class Page(BaseModel, Generic[T]):
    """One page of a list; `total` where counting is cheap."""

    items: list[T]
    total: int | None = None
    next_cursor: str | None = None


def offset_of(cursor: str) -> int:
    """The position a cursor stands for.

    Raises:
        ToolFailure: the text is not a cursor that a page returned.
    """
    if not cursor:
        return 0
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) <= 12):
        raise ToolFailure(f"{cursor!r} is not a cursor", "Pass next_cursor of the page before, or leave it out.")
    return int(cursor)


def page(items: Sequence[T], limit: int, cursor: str) -> Page[T]:
    """Cut one page out of a complete list."""
    start = offset_of(cursor)
    end = start + limit
    return Page(items=list(items[start:end]), total=len(items), next_cursor=str(end) if end < len(items) else None)
