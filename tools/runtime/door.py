"""The two doors to library code, opened for one tool call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec, TypeVar, get_type_hints

from pydantic import BaseModel

from ..errors import ToolFailure
from .calls import CallPool
from .jobs import Jobs
from .models import ENDED, JobView, Progress
from .table import Row
from .work import Work

P = ParamSpec("P")
T = TypeVar("T")
Q = TypeVar("Q", bound=BaseModel)
Tell = Callable[[float, float, str], Awaitable[None]]


@dataclass(frozen=True)
class Door:
    """What a tool may use.

    `tell` sends a progress notification to the caller; `settle` waits until the spans so far can be read.
    """

    calls: CallPool
    jobs: Jobs
    tool: str
    tell: Tell
    settle: Callable[[], Awaitable[None]]
    idempotency: str = ""

    async def call(self, function: Callable[Concatenate[Work, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a short client function in the worker of its slice."""
        return await self.calls.call(function, *args, **kwargs)

    async def submit(
        self, function: Callable[[Work, Q], T], request: Q, wait_s: float, once: bool = False
    ) -> JobView[T]:
        """Run a long client function as a job and wait for it up to `wait_s`."""
        row = await self.jobs.submit(self.tool, function, request, self.idempotency, once)
        return await self.follow(row.id, wait_s, get_type_hints(function)["return"])

    async def follow(self, identity: str, wait_s: float, result: Any = Any) -> JobView[Any]:
        """Pass on the progress of a job until it ends or the time is up.

        Raises:
            ToolFailure: the job failed or was lost.
        """
        row = await self.jobs.get(identity)
        async for row in self.jobs.watch(identity, wait_s):
            # None with the last step: a notification right before the answer closes some clients.
            if row.progress and row.state not in ENDED:
                progress = Progress.model_validate_json(row.progress)
                if progress.done < progress.total:
                    await self.tell(progress.done, progress.total, _words(progress))
        return view(row, result)


def view(row: Row, result: Any = Any) -> JobView[Any]:
    """A row as an agent sees it.

    Raises:
        ToolFailure: the job failed or was lost.
    """
    handle = f"job:{row.id}"
    if row.state in ("failed", "lost"):
        word = "failed" if row.state == "failed" else "was lost: its process died"
        raise ToolFailure(f"{handle} ({row.tool}) {word}. {row.error or ''}".strip())
    return JobView[result](
        job=handle,
        tool=row.tool,
        state=row.state,
        seconds=round(row.seconds, 1),
        progress=Progress.model_validate_json(row.progress) if row.progress and row.state != "done" else None,
        result=_decoded(row.result, result),
        next=f"get_job(job={handle!r}, wait_s=50)" if row.state not in ENDED else None,
    )


def _decoded(text: str | None, result: Any) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(result).validate_json(text) if text is not None else None


def _words(progress: Progress) -> str:
    best = f", best {progress.best:.4g}" if progress.best is not None else ""
    return f"{progress.message}{best}"
