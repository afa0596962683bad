"""First answers by idempotency key, so that a repeated write is answered instead of done again."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial

import anyio
from mcp.types import CallToolResult

from ..tools.errors import ToolFailure, key_reused
from ..tools.storage.errors import StorageError
from ..tools.storage.store import BlockingCalls
from .answer_table import WHAT, AnswerTable, Call
from .jsons import as_json

POLL_S = 0.1
WAIT_S = 50.0
# What an answer that is ready waits for the file before it is given and kept in memory.
KEEP_S = 5.0
RETRY_S = 5.0
MAX_UNSAVED = 1000

logger = logging.getLogger(__name__)


@dataclass
class Known:
    """A call of this process that runs, or whose answer the file does not have yet."""

    call: Call
    done: anyio.Event = field(default_factory=anyio.Event)
    answer: CallToolResult | None = None


class Answers:
    """The answers of keyed calls: in their table, and in memory while they cannot be written there."""

    def __init__(self, table: AnswerTable, keep_s: float = KEEP_S) -> None:
        self._table = table
        self._keep_s = keep_s
        self._reading = BlockingCalls(WHAT)
        self._writing = BlockingCalls(WHAT, wait_s=keep_s)
        self._known: dict[tuple[str, str, str], Known] = {}
        # In the order they came; None frees the key.
        self._unsaved: dict[Call, str | None] = {}
        self.dropped = 0

    async def once(
        self, scope: str, tool: str, key: str, arguments: str, run: Callable[[], Awaitable[CallToolResult]]
    ) -> CallToolResult:
        """Run the call unless one with this key was answered before; a failed call does not use up its key.

        A call that repeats one which still runs waits for its answer.

        Args:
            scope: whose key it is.

        Raises:
            ToolFailure: the key was used with other arguments, or its first call takes too long.
            StorageError: nobody can know whether the call was made before.
        """
        call = Call(scope, tool, key, hashlib.sha256(arguments.encode()).hexdigest())
        deadline = time.monotonic() + WAIT_S
        while (known := self._known.get(call.name)) is not None:
            if known.call.arguments != call.arguments:
                raise key_reused(key)
            with anyio.move_on_after(deadline - time.monotonic()):
                await known.done.wait()
            if known.answer is not None:
                return known.answer
            if time.monotonic() > deadline:
                raise _still_runs(key)
        return await self._first(call, deadline, run)

    def close(self) -> None:
        """Write what could not be written yet, and say that this server has ended; blocking."""
        try:
            for call, answer in list(self._unsaved.items()):
                self._write(call, answer)
                del self._unsaved[call]
        except StorageError as error:
            if lost := sum(answer is not None for answer in self._unsaved.values()):
                logger.warning("%d answers of keyed calls are lost: %s", lost, error)
        self._table.close()

    async def write_waiting(self) -> None:
        """Try once more to write what could not be written yet, and to say that this server lives.

        Raises:
            StorageError: the first that still cannot be.
        """
        for call, answer in list(self._unsaved.items()):
            await self._writing.run(partial(self._write, call, answer))
            self._saved(call)
        if self._known:
            await self._writing.run(self._table.renew)

    async def _first(self, call: Call, deadline: float, run: Callable[[], Awaitable[CallToolResult]]) -> CallToolResult:
        known = self._known[call.name] = Known(call)
        claimed = False
        try:
            stored = await self._claim(call, deadline)
            claimed = stored is None
            known.answer = await run() if stored is None else CallToolResult.model_validate_json(stored)
        except BaseException as error:
            self._free(known)
            if claimed or not isinstance(error, ToolFailure):  # a claim that was interrupted may have been made
                await self._save(call, None)
            raise
        known.done.set()
        if claimed:
            await self._save(call, as_json(known.answer))
        else:
            self._free(known)
        return known.answer

    async def _claim(self, call: Call, deadline: float) -> str | None:
        """The stored answer, or None when the call is to be made."""
        while not (found := await self._reading.run(lambda: self._table.claim(call))):
            if time.monotonic() > deadline:
                raise _still_runs(call.key)
            await anyio.sleep(POLL_S)
        return found if isinstance(found, str) else None

    def _free(self, known: Known) -> None:
        known.done.set()
        if self._known.get(known.call.name) is known:
            del self._known[known.call.name]

    async def _save(self, call: Call, answer: str | None) -> None:
        """Write the outcome, or keep it until it can be written: the caller gets its answer either way."""
        self._make_room()
        self._unsaved[call] = answer
        with anyio.CancelScope(shield=True):
            try:
                await self._writing.run(partial(self._write, call, answer))
            except StorageError as error:
                logger.warning("the outcome of %s is kept in memory until it can be written: %s", call.tool, error)
            else:
                self._saved(call)

    def _make_room(self) -> None:
        while len(self._unsaved) >= MAX_UNSAVED:
            self.dropped += 1
            oldest = next(iter(self._unsaved))
            logger.error("the answer of %s is dropped, %d so far: %s has no room", oldest.tool, self.dropped, WHAT)
            self._saved(oldest)

    def _write(self, call: Call, answer: str | None) -> None:
        if answer is None:
            self._table.forget(call, self._keep_s)
        else:
            self._table.keep(call, answer, self._keep_s)

    def _saved(self, call: Call) -> None:
        self._unsaved.pop(call, None)
        known = self._known.get(call.name)
        if known is not None and known.call == call:
            self._free(known)


def _still_runs(key: str) -> ToolFailure:
    return ToolFailure(f"the first call with idempotency_key {key!r} still runs", "Repeat this call later.")
