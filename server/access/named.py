"""Server middleware: whatever a request starts runs in the name of its token, and waits in the lane of its caller."""

from __future__ import annotations

from typing import Any

from mcp.server import ServerRequestContext
from mcp.server.context import CallNext, HandlerResult

from ...tools.runtime.identity import acting_as, in_lane
from ..scope import caller_of_request
from .gate import identity_of


async def in_the_callers_name(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
    with acting_as(identity_of(ctx.request)), in_lane(caller_of_request(ctx).scope):
        return await call_next(ctx)
