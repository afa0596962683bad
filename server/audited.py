"""Calls that change something are written down before they are answered, however they end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, TypeVar

import anyio
from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError
from mcp.types import CallToolResult, InputRequiredResult

from ..tools.addresses import AUDIT
from ..tools.audit import AuditLog, Entry, Outcome, named
from ..tools.errors import Denied, ToolFailure
from ..tools.legible import legible
from ..tools.runtime.identity import acting
from ..tools.storage.errors import StorageError
from ..tools.storage.store import BlockingCalls
from ..tools.tracing.span import current
from .access.scopes import Wanted

# A disk that hangs holds up a call so long, and its line is counted as lost for as long as it is not written.
WAIT_S = 5.0
# Of a call that was not begun as many handles are written down; who may change nothing does not fill the log.
FEW = 5
T = TypeVar("T")


class Audited:
    """What this server writes into the audit log: in whose name it acts, and under which trace."""

    def __init__(self, log: AuditLog) -> None:
        self._log = log
        self._calls = BlockingCalls("the audit log", 2, WAIT_S)
        self._late: set[asyncio.Task[None]] = set()

    @property
    def lost(self) -> int:
        return self._log.lost + len(self._late)

    async def call(self, tool: str, arguments: Any, run: Callable[[], Awaitable[T]]) -> T:
        """Run a call and note how it ended, also if it is given up."""
        try:
            answer = await run()
        except BaseException as error:
            await self.note(tool, failure_of(error), arguments)
            raise
        await self.note(tool, outcome_of(answer), arguments, getattr(answer, "structured_content", None))
        return answer

    async def denied(self, wanted: Wanted) -> None:
        await self.note(wanted.name, "denied", wanted.arguments)

    async def note(self, tool: str, outcome: Outcome, *texts: Any) -> None:
        """Write one line; the answer does not hang on it.

        Args:
            texts: what names the things that the call is about.
        """
        by, trace = acting().name or None, current().trace_id
        handles = named(texts)[: FEW if outcome in ("denied", "refused") else None]
        entry = Entry(by=by, tool=tool, handles=handles, outcome=outcome, trace=trace)
        writing = asyncio.create_task(self._write(entry))
        with anyio.CancelScope(shield=True):
            await asyncio.wait((writing,), timeout=WAIT_S)
        if writing.done():
            writing.result()
            return
        self._late.add(writing)
        writing.add_done_callback(self._late.discard)
        self._log.tell("the disk does not answer")

    async def _write(self, entry: Entry) -> None:
        try:
            await self._calls.run(partial(self._log.note, entry))
        except StorageError as error:
            self._log.miss(error.message)

    async def recent(self) -> str:
        """The last lines of the log, for whoever may see everything."""
        if acting().access != "admin":
            raise ResourceNotFoundError(f"Unknown resource: {AUDIT}")
        try:
            return legible(await self._calls.run(self._log.recent))
        except (OSError, StorageError) as error:
            raise ResourceError(f"the audit log cannot be read: {error}") from error


def add_audit(server: MCPServer[Any], audit: Audited) -> None:
    """Publish the last lines as a resource: it is read by tools of an admin, and changed by none."""
    said = "Who has called what changes something, and how it ended: the last calls and ends of jobs, as JSON lines."
    server.resource(AUDIT, name="audit_log", title="Audit log", description=said, mime_type="text/plain")(audit.recent)


def failure_of(error: BaseException) -> Outcome:
    """How a call that was begun has ended; an error of the protocol says by its cause why there is one."""
    if isinstance(error, Denied) or isinstance(error.__cause__, Denied):
        return "denied"
    return "cancelled" if isinstance(error, asyncio.CancelledError) else "failed"


def refusal_of(failure: ToolFailure) -> Outcome:
    """How a call that was not begun has ended."""
    return "denied" if isinstance(failure, Denied) else "refused"


def outcome_of(answer: object) -> Outcome:
    if isinstance(answer, InputRequiredResult):
        return "asked"
    if not isinstance(answer, CallToolResult):
        return "done"
    told: Mapping[str, Any] = answer.structured_content or {}
    if answer.is_error:
        return "failed"
    if told.get("state") == "preview" or told.get("dry_run"):
        return "preview"
    return "started" if told.get("state") in ("queued", "running") else "done"
