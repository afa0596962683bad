"""Server middleware: whatever a request starts runs in the name of its token."""

from __future__ import annotations

from typing import Any

from mcp.server import ServerRequestContext
from mcp.server.context import CallNext, HandlerResult

from ...tools.runtime.identity import acting_as
from .gate import identity_of


async def in_the_callers_name(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
    with acting_as(identity_of(ctx.request)):
        return await call_next(ctx)
