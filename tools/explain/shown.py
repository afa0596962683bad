"""How much of a list an answer shows: as many leading items as keep it below its size, however long names are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from pydantic import BaseModel, JsonValue

from ..numbers import finite

T = TypeVar("T", bound=BaseModel)

# Characters of JSON that the lists and notes of an answer take together: about 1,200 tokens, which leaves 300.
ROOM = 4800
MAX_TEXT = 120


def room_beside(notes: Sequence[str]) -> int:
    """The characters that notes leave to lists."""
    return max(0, ROOM - sum(len(note) + 3 for note in notes))


def leading(items: Sequence[T], room: int) -> list[T]:
    """The items that fit, but at least one."""
    shown: list[T] = []
    for item in items:
        room -= len(item.model_dump_json()) + 1
        if shown and room < 0:
            break
        shown.append(item)
    return shown


def plain(value: object) -> JsonValue:
    """A cell as it is shown: a finite number, or text of some length; None is missing."""
    if isinstance(value, float):
        return finite(value)
    text = str(value)
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}…"
