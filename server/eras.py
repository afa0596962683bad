"""A stream of messages, served in the protocol era that its client turns out to speak."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol, Self

import anyio
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectSendStream
from mcp.server import Server
from mcp.shared.message import SessionMessage
from mcp.types import JSONRPCError, JSONRPCRequest

PROBE = "server/discover"


class Replies(Protocol):
    """The way back to the client; it is closed when all clones are."""

    async def send(self, item: SessionMessage, /) -> None: ...

    def clone(self) -> Self: ...


@dataclass
class EitherEra:
    """Hands messages to the SDK's loop, which keeps to the protocol era of its first request.

    A client that asked for `server/discover` and then initializes, since the answer took too long, is served as one of
    the handshake era by a second loop.
    """

    server: Server[Any]
    replies: Replies
    eras: TaskGroup
    _opened: list[MemoryObjectSendStream[SessionMessage | Exception]] = field(default_factory=list[Any])
    _probed: bool = False
    _settled: bool = False

    async def take(self, item: SessionMessage | Exception) -> None:
        """Serve a message, or tell the loop what could not be read as one."""
        if isinstance(item, SessionMessage) and isinstance(item.message, JSONRPCRequest):
            self._note(item.message.method)
        if not self._opened:
            self._open()
        await self._opened[-1].send(item)

    async def reply(self, error: JSONRPCError) -> None:
        await self.replies.send(SessionMessage(error))

    def close(self) -> None:
        for era in self._opened:
            era.close()

    def _note(self, method: str) -> None:
        fell_back = method == "initialize" and self._probed and not self._settled
        self._probed = self._probed or method == PROBE
        self._settled = self._settled or method != PROBE
        if fell_back:
            self._open()

    def _open(self) -> None:
        send, receive = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        self._opened.append(send)
        options: Any = self.server.create_initialization_options()
        replies: Any = self.replies.clone()
        self.eras.start_soon(self.server.run, receive, replies, options)
