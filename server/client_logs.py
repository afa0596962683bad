"""What the server warns of while a call runs reaches the client that made it, if it asked for that."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self, get_args

import anyio
from mcp.server import Server
from mcp.server.context import CallNext, HandlerResult
from mcp.types import (
    LOG_LEVEL_META_KEY,
    EmptyResult,
    LoggingLevel,
    LoggingMessageNotification,
    LoggingMessageNotificationParams,
    SetLevelRequestParams,
)
from mcp.types.version import MODERN_PROTOCOL_VERSIONS

from .connections import Request, connection_of

# In rising order, as the protocol has them (RFC 5424).
LEVELS: tuple[LoggingLevel, ...] = get_args(LoggingLevel)
OURS = "mlops_mcp"
WAITING = 100
MAX_TEXT = 2000
STATE = "log_level"


@dataclass(frozen=True)
class Listener:
    """A call whose client wants to be told: what waits to be sent to it, `None` at the end."""

    level: int
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)
    waiting: asyncio.Queue[LoggingMessageNotificationParams | None] = field(
        default_factory=lambda: asyncio.Queue(WAITING + 1)
    )

    def take(self, entry: LoggingMessageNotificationParams) -> None:
        if self.waiting.qsize() < WAITING:  # beyond that nobody would read them
            self.waiting.put_nowait(entry)


class ClientLogs(logging.Handler):
    """Server middleware, and the log handler that knows which call a record belongs to.

    While a call of ours is listened to, our loggers make every record, whatever the level of stderr is.

    Args:
        clean: takes secrets out of a text.
    """

    def __init__(self, clean: Callable[[str], str]) -> None:
        super().__init__()
        self._clean = clean
        self._listening = 0
        self._listener: ContextVar[Listener | None] = ContextVar("mlops_mcp_client_log", default=None)

    def __enter__(self) -> Self:
        logging.getLogger(OURS).addHandler(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        logging.getLogger(OURS).removeHandler(self)

    def serve(self, server: Server[object]) -> None:
        """Let clients of the handshake era choose a level; the others name it in each request."""
        server.add_request_handler("logging/setLevel", SetLevelRequestParams, self._set_level)

    async def __call__(self, ctx: Request, call_next: CallNext) -> HandlerResult:
        level = wanted(ctx)
        if level is None or ctx.request_id is None:
            return await call_next(ctx)
        listener = Listener(LEVELS.index(level))
        telling = asyncio.create_task(_tell(ctx, listener))
        token = self._listener.set(listener)
        self._listen(1)
        try:
            result = await call_next(ctx)
        except asyncio.CancelledError:
            telling.cancel()
            raise
        finally:
            self._listen(-1)
            self._listener.reset(token)
            listener.waiting.put_nowait(None)
            await asyncio.wait([telling])
        return result

    def emit(self, record: logging.LogRecord) -> None:
        listener = self._listener.get()
        level = _level_of(record.levelno)
        if listener is None or LEVELS.index(level) < listener.level:
            return
        text = self._clean(record.getMessage())[:MAX_TEXT]
        entry = LoggingMessageNotificationParams(level=level, logger=record.name.removeprefix(f"{OURS}."), data=text)
        try:
            here = asyncio.get_running_loop() is listener.loop
        except RuntimeError:  # one of our threads
            here = False
        if here:
            listener.take(entry)
        else:
            listener.loop.call_soon_threadsafe(listener.take, entry)

    def _listen(self, more: int) -> None:
        self._listening += more
        logging.getLogger(OURS).setLevel(logging.DEBUG if self._listening else logging.NOTSET)

    async def _set_level(self, ctx: Request, params: SetLevelRequestParams) -> EmptyResult:
        connection_of(ctx).state[STATE] = params.level
        return EmptyResult()


def wanted(ctx: Request) -> LoggingLevel | None:
    """From which level on the client of a request wants to be told; None when it has not asked."""
    if ctx.protocol_version in MODERN_PROTOCOL_VERSIONS:
        asked = (ctx.meta or {}).get(LOG_LEVEL_META_KEY)
    else:
        asked = connection_of(ctx).state.get(STATE)
    return next((level for level in LEVELS if level == asked), None)


async def _tell(ctx: Request, listener: Listener) -> None:
    while entry := await listener.waiting.get():
        try:
            await ctx.session.send_notification(LoggingMessageNotification(params=entry), ctx.request_id)
        except (anyio.ClosedResourceError, anyio.BrokenResourceError):  # the client is gone
            return


def _level_of(number: int) -> LoggingLevel:
    if number >= logging.CRITICAL:
        return "critical"
    if number >= logging.ERROR:
        return "error"
    if number >= logging.WARNING:
        return "warning"
    return "info" if number >= logging.INFO else "debug"
