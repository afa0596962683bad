"""What the upkeep tools say."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

State = Literal["preview", "deleted", "already_gone", "restored"]


class Deletion(BaseModel):
    """What goes, or has gone. `blocked` says what needs it, and the call that ends that.

    `made_from_it` counts by kind what stays though it was made from this; `dependents` names the nearest.
    """

    state: State
    handles: list[str]
    omitted: int = 0
    files: int = 0
    bytes: int = 0
    made_from_it: dict[str, int] = {}
    dependents: list[str] = []
    blocked: list[str] = []
    restorable: bool = False
    next: str | None = None
    notes: list[str] = []
    undo: str | None = None


class Freed(BaseModel):
    """Leftovers of one kind."""

    kind: str
    count: int
    files: int
    bytes: int
    examples: list[str]


class CleanUp(BaseModel):
    """What nothing refers to; with `dry_run` it is still there."""

    dry_run: bool
    freed: list[Freed]
    bytes: int
    next: str | None = None
    notes: list[str] = []
