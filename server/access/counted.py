"""Server middleware: every request of a caller counts, and many at a time leave room for those of others."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from mcp import MCPError
from mcp.server import ServerRequestContext
from mcp.server.context import CallNext, HandlerResult
from mcp.types import INVALID_REQUEST

from ...tools.errors import ToolFailure
from ..rates import Rates
from .gate import counted_for

# It counts where it is answered: a refusal is read by a model, in the form of a tool's answer.
CALL = "tools/call"
# Answered by the event loop itself, which does nothing else meanwhile: one caller has so many of them begun.
LISTS = frozenset(("tools/list", "prompts/list", "resources/list", "resources/templates/list", "server/discover"))
AT_A_TIME = 1


@dataclass
class Turns:
    """Whose lists are being made: the others of a caller wait, and whatever else there is to do comes between."""

    _taken: dict[str, tuple[asyncio.Semaphore, int]] = field(default_factory=dict[str, tuple[asyncio.Semaphore, int]])

    @contextmanager
    def of(self, caller: str) -> Generator[asyncio.Semaphore]:
        """What a request of a caller waits for; it is forgotten with the last one."""
        turn, users = self._taken.get(caller, (asyncio.Semaphore(AT_A_TIME), 0))
        self._taken[caller] = turn, users + 1
        try:
            yield turn
        finally:
            turn, users = self._taken.pop(caller)
            if users > 1:
                self._taken[caller] = turn, users - 1


class Counted:
    """Whoever has started the server itself may ask as often as it likes.

    Raises:
        MCPError: it is one too many of its caller.
    """

    def __init__(self, rates: Rates) -> None:
        self._rates = rates
        self._turns = Turns()

    async def __call__(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        if ctx.request is None or ctx.request_id is None or ctx.method == CALL:
            return await call_next(ctx)
        caller = counted_for(ctx.request.scope)
        try:
            self._rates.admit(caller)
        except ToolFailure as failure:
            raise MCPError(code=INVALID_REQUEST, message=str(failure)) from failure
        if ctx.method not in LISTS:
            return await call_next(ctx)
        with self._turns.of(caller) as turn:
            async with turn:
                answer = await call_next(ctx)
                await asyncio.sleep(0)  # before the next one of this caller begins, whoever else is ready has begun
                return answer
