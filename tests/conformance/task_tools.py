"""The tools that the tasks scenarios of the conformance suite call."""

from __future__ import annotations

from typing import Annotated, Any

from mcp.server.mcpserver import Context, Elicit, Resolve
from mcp.server.mcpserver.server import require_client_extension
from mcp.types import TextContent
from pydantic import BaseModel

from mlops_mcp.server.task_extension import ID
from mlops_mcp.tools.runtime.models import JobView
from mlops_mcp.tools.spec import Injected, Toolset, reads, writes

from . import jobs


async def greet(name: str) -> TextContent:
    """Greet at once."""
    return TextContent(text=f"Hello, {name}!")


async def slow_compute(context: Injected, seconds: float = 0, label: str = "") -> JobView[jobs.Said]:
    """Compute for some seconds."""
    return await context.submit(jobs.nap, jobs.Nap(seconds=seconds), None)


async def failing_job(context: Injected, ctx: Context[Any, Any]) -> JobView[jobs.Said]:
    """Fail, as a task only."""
    require_client_extension(ctx.request_context, ID)
    return await context.submit(jobs.refuse, jobs.Nothing(), None)


async def protocol_error_job(context: Injected) -> JobView[jobs.Said]:
    """Crash."""
    return await context.submit(jobs.crash, jobs.Nothing(), None)


async def confirm_delete(context: Injected, filename: str) -> JobView[jobs.Said]:
    """Ask before deleting."""
    return await context.submit(jobs.delete, jobs.Named(name=filename), None)


async def multi_input(context: Injected) -> JobView[jobs.Said]:
    """Ask two questions at once."""
    return await context.submit(jobs.gather, jobs.Nothing(), None)


class UserName(BaseModel):
    name: str


async def _asked_for() -> Elicit[UserName]:
    return Elicit("What is your name?", UserName)


async def test_tool_with_task(
    context: Injected, user_name: Annotated[UserName, Resolve(_asked_for)]
) -> JobView[jobs.Said]:
    """Ask for a name first, then greet in a task."""
    return await context.submit(jobs.greet_later, jobs.Named(name=user_name.name), None)


TOOLSET = Toolset(
    name="conformance",
    description="What the conformance suite calls.",
    tools=(
        reads(greet, "Greet"),
        *(
            writes(function, function.__name__, idempotent=True, job="long")
            for function in (
                slow_compute,
                failing_job,
                protocol_error_job,
                confirm_delete,
                multi_input,
                test_tool_with_task,
            )
        ),
    ),
)
