"""What the runtime tells an agent about a job."""

from __future__ import annotations

from typing import Annotated, Generic, Literal, TypeVar

from pydantic import BaseModel, Field

State = Literal["queued", "running", "done", "failed", "cancelled", "lost"]
ENDED: tuple[State, ...] = ("done", "failed", "cancelled", "lost")
R = TypeVar("R")

DEFAULT_WAIT_S = 25.0
Wait = Annotated[float, Field(ge=0, le=50)]


class Progress(BaseModel):
    """How far a job is, in its own terms, e.g. 12 of 50 trials, best 0.912."""

    done: float
    total: float
    best: float | None = None
    message: str = ""


class JobView(BaseModel, Generic[R]):
    """A job: its state, how far it is, its result once done, and the call that continues from here."""

    job: str
    tool: str
    state: State
    seconds: float
    progress: Progress | None = None
    result: R | None = None
    error: str | None = None
    next: str | None = None
