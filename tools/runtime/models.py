"""What the runtime tells an agent about a job."""

from __future__ import annotations

from typing import Annotated, Generic, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from ...config.settings import MOST_WAIT_S
from ..errors import ToolFailure

State = Literal["queued", "running", "done", "failed", "cancelled", "lost"]
ENDED: tuple[State, ...] = ("done", "failed", "cancelled", "lost")
# Why an attempt did not end well: it refused, it raised what nobody foresaw, it met a limit, or it just died.
Fault = Literal["refused", "crashed", "memory", "budget", "died"]
R = TypeVar("R")

# Of every tool that waits for a job; absent: as long as the caller is known to bear.
Wait = Annotated[float | None, Field(ge=0, le=MOST_WAIT_S, description="Then it is a job.")]


class Progress(BaseModel):
    """How far a job is, in its own terms, e.g. 12 of 50 trials, best 0.912."""

    done: float
    total: float
    best: float | None = None
    message: str = ""

    @property
    def words(self) -> str:
        """The message with the best value so far."""
        return f"{self.message}, best {self.best:.4g}" if self.best is not None else self.message


def _none_for_zero(value: object) -> object:
    try:
        return None if value == "" or float(value) == 0 else value  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return value


Bound = Annotated[R | None, BeforeValidator(_none_for_zero)]


class Budget(BaseModel):
    """What one attempt of a job may use at most; None, and zero when it is read, is no limit but that of the server.

    `seconds` of running time, `megabytes` of resident memory of all its processes together.
    """

    model_config = ConfigDict(frozen=True)

    seconds: Bound[Annotated[float, Field(gt=0, allow_inf_nan=False)]] = None
    megabytes: Bound[Annotated[int, Field(ge=64, le=1 << 40)]] = None

    def within(self, most_s: float) -> Budget:
        """The same with a limit of time, which no job is without; 0 is none.

        Raises:
            ToolFailure: more was asked for.
        """
        if not most_s or self.seconds is None or self.seconds <= most_s:
            return self.model_copy(update={"seconds": self.seconds or most_s or None})
        raise ToolFailure(
            f"a budget of {self.seconds:g} s is more than a job may take here, which is {most_s:g} s (runtime.job_s)",
            "Pass a smaller budget_s, or none.",
        )


class QueuePlace(BaseModel):
    """Why a job is not running yet: its place among those that wait for the same slots, and what takes these."""

    position: int
    reason: str
    running: list[str]


class JobView(BaseModel, Generic[R]):
    """A job: its state, how far it is, its result once done, and the call that continues from here.

    `partial` is what a job that was ended early had reached; `queue` says what a queued one waits for. `notes` say
    that the call joined the job of an earlier one, or waited for less than it asked for.
    """

    job: str
    tool: str
    state: State
    seconds: float
    progress: Progress | None = None
    result: R | None = None
    partial: R | None = None
    error: str | None = None
    next: str | None = None
    queue: QueuePlace | None = None
    notes: list[str] | None = None
