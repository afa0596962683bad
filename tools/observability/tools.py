"""Tools of the observability slice."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ..paging import Cursor, Limit, Page
from ..spec import Through, Toolset, reads
from . import client
from .models import LineageGraph, TraceLine, TraceTree


async def search_traces(
    door: Through,
    name: Annotated[str, Field(description="Part of a span's name.")] = "",
    errors_only: bool = False,
    limit: Limit = 20,
    cursor: Cursor = "",
) -> Page[TraceLine]:
    """List traces, newest first."""
    await door.settle()
    return await door.call(client.search_traces, name, errors_only, limit, cursor)


async def get_trace(
    door: Through,
    trace: Annotated[str, Field(description="trace:<id>")],
    detail: Annotated[client.Detail, Field(description="full: with inputs and outputs.")] = "brief",
    limit: Limit = 60,
) -> TraceTree:
    """Show a trace as a tree of tool calls, jobs and their inner steps."""
    await door.settle()
    return await door.call(client.get_trace, trace, detail, limit)


async def get_lineage(
    door: Through, handle: Annotated[str, Field(description="Any handle, e.g. model:credit/1.")], limit: Limit = 50
) -> LineageGraph:
    """Show what a dataset, model, bento, … was made from and what was made from it."""
    return await door.call(client.get_lineage, handle, limit)


TOOLSET = Toolset(
    name="observability",
    description="Traces and lineage.",
    tools=(
        reads(search_traces, "Search traces"),
        reads(get_trace, "Get trace"),
        reads(get_lineage, "Get lineage"),
    ),
)
