"""What a tool is given for one call: the ways to library code, and the way back to the caller."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Concatenate, ParamSpec, TypeVar

from pydantic import BaseModel

from ..errors import ToolFailure
from .calls.executor import CallExecutor
from .identity import acting
from .jobs.functions import resolve
from .jobs.queue import Jobs
from .jobs.submission import Submission
from .jobs.table import JobRow
from .models import ENDED, Budget, JobView, Progress
from .waits import WaitLimit, bearing
from .work import Work

P = ParamSpec("P")
T = TypeVar("T")
Q = TypeVar("Q", bound=BaseModel)
Tell = Callable[[float, float, str], Awaitable[None]]
# A notification right before the answer closes some clients.
QUIET_S = 0.5


@dataclass
class JobHandoff:
    """Held by a call that answers with a task: the job it made is noted here and not waited for."""

    job: str = ""


async def _here() -> bool:
    return False


@dataclass(frozen=True)
class ToolContext:
    """What a tool may use: workers for short calls, jobs for long work.

    `tell` sends a progress notification to the caller; `settle` waits until the spans so far can be read;
    `short` says that its job is expected to be short, `keyed` that the tool takes an idempotency key, `scope` whose
    call it is, `limit` how long that may wait and `gone` whether its connection is closed; with a `handoff` the job is
    not waited for.
    """

    calls: CallExecutor
    jobs: Jobs
    tool: str
    toolset: str
    tell: Tell
    settle: Callable[[], Awaitable[None]]
    idempotency: str = ""
    budget: Budget = field(default_factory=Budget)
    short: bool = False
    keyed: bool = False
    scope: str = ""
    limit: WaitLimit = field(default_factory=WaitLimit)
    gone: Callable[[], Awaitable[bool]] = _here
    handoff: JobHandoff | None = None

    async def call(self, function: Callable[Concatenate[Work, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a short client function in a worker of the toolset."""
        with bearing(self.limit):
            return await self.calls.call(self.toolset, function, *args, **kwargs)

    async def ask(self, function: Callable[Concatenate[Work, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a client function that only waits for another process of ours, and imports nothing, in a thread."""
        return await self.calls.ask(self.toolset, function, *args, **kwargs)

    async def submit(
        self, function: Callable[[Work, Q], T], request: Q, wait_s: float | None, once: bool = False
    ) -> JobView[T]:
        """Run a long client function as a job, or join the one of the same call, and wait for it as `follow` does.

        Raises:
            ToolFailure: the job failed or was lost.
        """
        submission = Submission(
            tool=self.tool,
            function=function,
            request=request,
            toolset=self.toolset,
            once=once,
            budget=self.budget,
            short=self.short,
            idempotency=self.idempotency,
            scope=self.scope,
            owner=acting().name,
        )
        row = await self.jobs.submit(submission)
        if self.handoff is not None:
            self.handoff.job, wait_s = row.id, 0
        if not row.joined:
            return await self.follow(row.id, wait_s)
        try:
            seen = await self.follow(row.id, wait_s)
        except ToolFailure as failure:
            raise ToolFailure(failure.message, f"{failure.hint} {self._joined(row)}".strip()) from failure
        return noted(seen, self._joined(row))

    async def follow(self, identity: str, wait_s: float | None) -> JobView[Any]:
        """Pass on the progress of a job until it ends or the time is up.

        Args:
            wait_s: how long, as far as the caller bears it; None: as long as it does.

        Raises:
            ToolFailure: the job failed or was lost.
        """
        row = await self.jobs.get(identity)
        left_s = self.limit.wait_s(wait_s)
        last_word = time.monotonic() + left_s - QUIET_S
        async for row in self.jobs.watch(identity, left_s):
            if row.progress and row.state not in ENDED and time.monotonic() < last_word:
                progress = Progress.model_validate_json(row.progress)
                if progress.done < progress.total:
                    await self.tell(progress.done, progress.total, progress.words)
        if row.state in ENDED and self.limit.in_time and not await self.gone():
            await self.jobs.tell(row, self.scope)
        seen = view(row)
        if row.state not in ENDED:
            seen = noted(seen, self.limit.cut(wait_s))
        if row.state != "queued":
            return seen
        return seen.model_copy(update={"queue": await self.jobs.place_in_queue(row)})

    def _joined(self, row: JobRow) -> str:
        again = "Pass an idempotency_key" if self.keyed else "Repeat it after that job's end"
        ago_s = max(0.0, time.time() - row.created)
        return f"This joins job:{row.id}, begun {ago_s:.0f} s ago by the same call. {again} to run it again."


def view(row: JobRow) -> JobView[Any]:
    """A row as an agent sees it; its result is of the type that its function returns.

    Raises:
        ToolFailure: the job failed or was lost.
    """
    handle = f"job:{row.id}"
    if row.state in ("failed", "lost"):
        raise ToolFailure(f"{handle} ({row.tool}) {_verdict(row)}. {row.error or ''}".strip())
    result = _type_of_result(row.function)
    return JobView[Any](
        job=handle,
        tool=row.tool,
        state=row.state,
        seconds=round(row.seconds, 1),
        progress=Progress.model_validate_json(row.progress) if row.progress and row.state != "done" else None,
        result=_decoded(row.result, result),
        partial=_decoded(row.partial, result) if row.state == "cancelled" else None,
        error=row.error if row.state == "cancelled" else None,
        next=f"get_job(job={handle!r})" if row.state not in ENDED else None,
    )


def noted(seen: JobView[Any], note: str) -> JobView[Any]:
    """The same with a note, if there is one."""
    return seen.model_copy(update={"notes": [*(seen.notes or ()), note]}) if note else seen


def _verdict(row: JobRow) -> str:
    if row.state == "failed":
        return "failed"
    return f"was lost after {row.attempts} attempts" if row.attempts > 1 else "was lost"


def _type_of_result(reference: str) -> Any:
    """Any of a function that is not there any more, such as one of an older version, or that is none of jobs."""
    try:
        return resolve(reference).result
    except (ImportError, AttributeError, ToolFailure):
        return Any


def _decoded(text: str | None, result: Any) -> Any:
    """What an older version stored stays readable as it is."""
    from pydantic import TypeAdapter, ValidationError

    if text is None:
        return None
    try:
        return TypeAdapter(result).validate_json(text)
    except ValidationError:
        return json.loads(text)
