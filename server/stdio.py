"""MCP over stdin and stdout: no line stays without an answer, and a client may try the new protocol before the old one.

The SDK's own reader drops a line that it cannot parse, replaces bytes that are not UTF-8, and waits with the tools'
threads for a free one.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import re
from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing, contextmanager
from itertools import islice
from typing import Any

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectReceiveStream
from mcp.server import Server
from mcp.shared.message import SessionMessage
from mcp.types import (
    INVALID_REQUEST,
    PARSE_ERROR,
    ErrorData,
    JSONRPCError,
    JSONRPCMessage,
    JSONRPCNotification,
    jsonrpc_message_adapter,
)
from pydantic import ValidationError

from .eras import EitherEra
from .jsons import as_json

CHUNK = 64 * 1024
# Without a way back, and closed by the end of the line too: no line takes long to look through.
TEXT = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+\\?"?'
# So much is looked at of a line to find its id.
MAX_TOKENS = 200_000
TOKEN = re.compile(TEXT + rb"|[\[\]{}]", re.DOTALL)
MEMBER = re.compile(rb"\s*:\s*(?P<value>" + TEXT + rb"|-?\d{1,40}(?![\d.eE]))?", re.DOTALL)

logger = logging.getLogger(__name__)


async def serve(server: Server[Any]) -> None:
    """Serve one client until it closes stdin, or reads stdout no more."""
    to_write, written = anyio.create_memory_object_stream[SessionMessage](0)
    with _claimed(0, os.open(os.devnull, os.O_RDONLY)) as source, _claimed(1, os.dup(2)) as sink:
        async with anyio.create_task_group() as group:
            group.start_soon(_write, sink, written, group)
            async with to_write, anyio.create_task_group() as eras:
                await _read(source, EitherEra(server, to_write, eras))


@contextmanager
def _claimed(descriptor: int, instead: int) -> Generator[int]:
    """The protocol's own descriptor; what else reads or writes the standard one, also in children, misses it."""
    private = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 3)
    os.dup2(instead, descriptor)
    os.close(instead)
    try:
        yield private
    finally:
        # It stays open: a thread may still wait in a read of it.
        os.dup2(private, descriptor)


async def _read(source: int, connection: EitherEra) -> None:
    async with aclosing(_lines(source)) as lines:
        async for line in lines:
            if not line.strip():
                continue
            try:
                await connection.take(SessionMessage(parsed(line)))
            except Refused as refused:
                await connection.reply(refused.answer)
    connection.close()


async def _lines(source: int) -> AsyncGenerator[bytes]:
    own_thread = anyio.CapacityLimiter(1)
    held = bytearray()
    while chunk := await anyio.to_thread.run_sync(os.read, source, CHUNK, limiter=own_thread, abandon_on_cancel=True):
        *ends, rest = chunk.split(b"\n")
        for end in ends:
            yield bytes(held + end)
            held.clear()
        held += rest
    if held:
        yield bytes(held)


class Refused(Exception):
    """A line that is no message, with what its sender is told."""

    def __init__(self, code: int, why: str, line: bytes) -> None:
        super().__init__(why)
        self.answer = JSONRPCError(jsonrpc="2.0", id=sent_id(line), error=ErrorData(code=code, message=why))


def parsed(line: bytes) -> JSONRPCMessage:
    """The message that a line holds.

    Raises:
        Refused: it holds none.
    """
    try:
        message = jsonrpc_message_adapter.validate_json(line, by_name=False)
    except ValidationError as error:
        why = error.errors(include_input=False, include_url=False, include_context=False)[0]
        if why["type"] == "json_invalid":
            raise Refused(PARSE_ERROR, why["msg"], line) from None
        raise Refused(INVALID_REQUEST, "Invalid request: not a JSON-RPC 2.0 message", line) from None
    # A request whose id is none that the protocol knows would pass as a notification, which nobody answers.
    if isinstance(message, JSONRPCNotification) and "id" in json.loads(line):
        raise Refused(INVALID_REQUEST, "Invalid request: the id must be a text or a whole number", line)
    return message


def sent_id(line: bytes) -> str | int | None:
    """The id of a request that cannot be parsed as a whole, if one can be read and it is no response."""
    members = _members(line)
    if b'"method"' not in members and members.keys() & {b'"result"', b'"error"'}:
        return None
    try:
        found = json.loads(members.get(b'"id"') or b"null")
        str(found).encode()
    except ValueError:  # half a character: the answer could not be written
        return None
    return found


def _members(line: bytes) -> dict[bytes, bytes]:
    """The members of the first object as they stand there; of values only texts and whole numbers."""
    found: dict[bytes, bytes] = {}
    depth = 0
    for token in islice(TOKEN.finditer(line), MAX_TOKENS):
        if token[0] in (b"{", b"["):
            depth += 1
        elif token[0] in (b"}", b"]"):
            depth -= 1
            if depth <= 0:
                break
        elif depth == 1 and (member := MEMBER.match(line, token.end())):
            found[token[0]] = member["value"] or b""
    return found


async def _write(sink: int, replies: MemoryObjectReceiveStream[SessionMessage], group: TaskGroup) -> None:
    own_thread = anyio.CapacityLimiter(1)
    try:
        async with replies:
            async for reply in replies:
                line = _as_line(reply.message)
                await anyio.to_thread.run_sync(_put, sink, line, limiter=own_thread, abandon_on_cancel=True)
    except OSError as error:
        logger.info("the client reads no more: %s", error)
        group.cancel_scope.cancel()


def _put(sink: int, line: bytes) -> None:
    left = memoryview(line)
    while left:
        left = left[os.write(sink, left) :]


def _as_line(message: JSONRPCMessage) -> bytes:
    return as_json(message, exclude_unset=True).encode() + b"\n"
