"""Tools of the upkeep slice."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ..spec import Injected, Toolset, writes
from . import client, sweep
from .models import CleanUp, Deletion

Handle = Annotated[str, Field(min_length=1)]
Handles = Annotated[Handle | Annotated[list[str], Field(min_length=1)], Field(description="kind:name, or several.")]


async def delete(
    context: Injected,
    handle: Handles,
    dry_run: Annotated[bool, Field(description="Only show what would go.")] = True,
    restore: Annotated[bool, Field(description="Bring back a deleted run or experiment.")] = False,
) -> Deletion:
    """Delete what a handle names: dataset, suite, features, model, run, experiment, study, bento, … What something
    alive needs is refused."""
    handles = [handle] if isinstance(handle, str) else handle
    return await context.call(client.delete, handles, dry_run, restore)


async def clean_up(
    context: Injected,
    dry_run: Annotated[bool, Field(description="Only show it.")] = True,
    older_than_days: Annotated[float, Field(ge=0, le=36500)] = 30,
) -> CleanUp:
    """Free what nothing refers to: files without a record, drafts, old explanations and predictions."""
    return await context.call(sweep.clean_up, dry_run, older_than_days)


TOOLSET = Toolset(
    name="upkeep",
    description="Delete things, free leftovers.",
    tools=(
        writes(delete, "Delete", destructive=True, idempotent=True),
        writes(clean_up, "Clean up", destructive=True, idempotent=True),
    ),
)
