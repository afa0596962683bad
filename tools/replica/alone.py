"""Lists of what each server has for itself, though it shares its state with others."""

from __future__ import annotations

import platform
from typing import TypeVar

from ...config.settings import Settings
from ..paging import OwnPage, Page
from .steps import is_shared

T = TypeVar("T")


def of_this_server(settings: Settings, found: Page[T]) -> OwnPage[T]:
    """The same page; where there are other servers it says whose these are."""
    own = f"those of this server ({platform.node()}) alone: the others that share its state have their own"
    return OwnPage(
        items=found.items,
        total=found.total,
        next_cursor=found.next_cursor,
        notes=[own] if is_shared(settings) else [],
    )
