"""Tools of the jobs slice. The runtime is the library here, so there is no client."""

from __future__ import annotations

from typing import Literal

from ..estimates import AnyResult
from ..handles import parse
from ..paging import Cursor, Limit, Page, keyset_page, position_of
from ..runtime.context import view
from ..runtime.models import JobView, Wait
from ..spec import Injected, Toolset, reads, writes
from ..vocabulary import Job
from .models import JobSummary


async def get_job(context: Injected, job: Job, wait_s: Wait = None) -> JobView[AnyResult]:
    """Read a job: its progress, and its result once done. Waits for the end as long as the client bears, or wait_s."""
    return await context.follow(parse(job, "job").name, wait_s)


async def list_jobs(
    context: Injected,
    state: Literal["", "queued", "running", "done", "failed", "cancelled", "lost"] = "",
    limit: Limit = 20,
    cursor: Cursor = "",
) -> Page[JobSummary]:
    """List jobs, newest first."""
    rows, total = await context.jobs.page(limit + 1, position_of("jobs", cursor), state)
    shown, more = keyset_page("jobs", rows, limit, lambda row: row.position)
    return Page[JobSummary](items=[JobSummary.of(row) for row in shown], total=total, next_cursor=more)


async def cancel_job(context: Injected, job: Job) -> JobView[AnyResult]:
    """End a job with every process it started; its last progress is kept."""
    return view(await context.jobs.cancel(parse(job, "job").name))


TOOLSET = Toolset(
    name="jobs",
    description="Watch and cancel long work.",
    tools=(
        reads(get_job, "Get job"),
        reads(list_jobs, "List jobs"),
        writes(cancel_job, "Cancel job", destructive=True, idempotent=True),
    ),
)
