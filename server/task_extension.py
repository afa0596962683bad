"""The Tasks extension: for a client that asks for it, a long call answers with a task at once.

A task is a job. Its id is the job's and all that is said of it is read from the job's row, so it outlives the server
that made it, and any server of the same state folder answers for it.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Container, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from mcp import MCPError
from mcp.server import ServerRequestContext
from mcp.server.context import CallNext, HandlerResult
from mcp.server.extension import Extension, MethodBinding
from mcp.server.mcpserver.server import require_client_extension
from mcp.shared.inbound import MCP_NAME_HEADER, decode_header_value
from mcp.types import (
    HEADER_MISMATCH,
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    CallToolRequestParams,
    CallToolResult,
    CreateMessageResult,
    CreateMessageResultWithTools,
    ElicitResult,
    ListRootsResult,
    RequestParams,
    Result,
    TextContent,
)
from mcp.types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import ValidationError

from ..tools.errors import ToolFailure, Unavailable
from ..tools.estimates import briefly
from ..tools.legible import legible
from ..tools.runtime.context import view
from ..tools.runtime.identity import acting
from ..tools.runtime.jobs.queue import Jobs
from ..tools.runtime.jobs.table import FRESH_S, JobRow
from ..tools.runtime.models import ENDED, JobView, Progress
from .access.scopes import METHODS, Wanted
from .audited import Audited
from .host import compact
from .policy.policy import Attempt, Policy
from .services import Services
from .task_request import TaskRequest

ID = "io.modelcontextprotocol/tasks"
POLL_MS = 500
SEES, ENDS = "get_job", "cancel_job"
ANSWERS: Mapping[str, tuple[type[Result], ...]] = {
    "elicitation/create": (ElicitResult,),
    "sampling/createMessage": (CreateMessageResult, CreateMessageResultWithTools),
    "roots/list": (ListRootsResult,),
}

Status = Literal["working", "input_required", "completed", "failed", "cancelled"]
Request = ServerRequestContext[Services, Any]


class TaskParams(RequestParams):
    task_id: str


class UpdateParams(TaskParams):
    """The responses are checked against what was asked, since others have to be ignored."""

    input_responses: dict[str, Any]


class Tasks(Extension):
    """Makes tasks of jobs and serves `tasks/get`, `tasks/update` and `tasks/cancel`.

    Args:
        tools: whose jobs are tasks of this server; of all others it knows nothing.
        policy: what its methods have to pass, as the tools that do the same.
    """

    identifier = ID

    def __init__(self, jobs: Jobs, audit: Audited, tools: Container[str], policy: Policy) -> None:
        self._jobs = jobs
        self._audit = audit
        self._tools = tools
        self._policy = policy

    def methods(self) -> Sequence[MethodBinding]:
        versions = frozenset(MODERN_PROTOCOL_VERSIONS)
        return (
            MethodBinding("tasks/get", TaskParams, self._get, versions),
            MethodBinding("tasks/update", UpdateParams, self._update, versions),
            MethodBinding("tasks/cancel", TaskParams, self._cancel, versions),
        )

    async def intercept_tool_call(
        self, params: CallToolRequestParams, ctx: Request, call_next: CallNext
    ) -> HandlerResult:
        if not _declared(ctx):
            return await call_next(ctx)
        request = TaskRequest.of(ctx)
        result = await call_next(request)
        job = request.handoff.job
        if not (job and _goes_on(result)):
            return result
        row = await _row_or_error(job, self._jobs.get(job))
        return {"resultType": "task", **_envelope(row)}

    async def _get(self, ctx: Request, params: TaskParams) -> HandlerResult:
        row = await self._asked(ctx, params, SEES)
        if row.state in ENDED:
            await self._jobs.tell(row, row.scope)
        return {**_envelope(row), **_outcome(row)}

    async def _update(self, ctx: Request, params: UpdateParams) -> HandlerResult:
        return await self._changing(ctx, params, SEES, lambda row: self._answer(row, params))

    async def _answer(self, row: JobRow, params: UpdateParams) -> None:
        asks: dict[str, Any] = json.loads(row.asks or "{}")
        answers = {key: answer for key, answer in params.input_responses.items() if key in asks}
        for key, answer in answers.items():
            _require_answer(key, str(asks[key]["method"]), answer)
        if answers:
            await _row_or_error(row.id, self._jobs.answer(row.id, answers))

    async def _cancel(self, ctx: Request, params: TaskParams) -> HandlerResult:
        return await self._changing(ctx, params, ENDS, lambda row: _row_or_error(row.id, self._jobs.cancel(row.id)))

    async def _changing(
        self, ctx: Request, params: TaskParams, tool: str, change: Callable[[JobRow], Awaitable[object]]
    ) -> HandlerResult:
        """What the caller's scope allows, written down however it ends."""
        wanted = Wanted(ctx.method, METHODS[ctx.method], {"job": f"job:{params.task_id}"})

        async def changed() -> None:
            await change(await self._asked(ctx, params, tool))

        try:
            wanted.require(acting())
        except ToolFailure as failure:
            await self._audit.note(wanted.name, "denied", wanted.arguments)
            raise MCPError(code=INVALID_REQUEST, message=str(failure)) from failure
        await self._audit.call(wanted.name, wanted.arguments, changed)
        return {}

    async def _asked(self, ctx: Request, params: TaskParams, tool: str) -> JobRow:
        """The row of the task that a request is about.

        Args:
            tool: the one that does the same to a job.

        Raises:
            MCPError: the client does not know tasks, the header names another one, there is no such task, or the
                policy does not let the request pass: here nobody can be asked to confirm it.
        """
        require_client_extension(ctx, ID)
        _require_name(ctx, params.task_id)
        try:
            job = {"job": f"job:{params.task_id}"}
            self._policy.require(Attempt(tool, job, acting(), read_only=tool == SEES), {})
        except ToolFailure as failure:
            raise MCPError(code=INVALID_PARAMS, message=legible(str(failure))) from failure
        row = await _row_or_error(params.task_id, self._jobs.get(params.task_id))
        if row.tool not in self._tools:
            raise _unknown(row.id)
        return row


async def _row_or_error(task: str, asking: Awaitable[JobRow]) -> JobRow:
    """What the job table says of a task; its failures become errors of the protocol."""
    try:
        return await asking
    except Unavailable as failure:
        raise MCPError(code=INTERNAL_ERROR, message=str(failure)) from failure
    except ToolFailure as failure:
        raise _unknown(task) from failure


def _unknown(task: str) -> MCPError:
    shown = task[:64]
    return MCPError(code=INVALID_PARAMS, message=f"unknown task {shown!r}", data={"taskId": shown})


def _declared(ctx: Request) -> bool:
    """Whether the client of this request follows tasks; one of an older revision cannot ask for them."""
    capabilities = ctx.session.client_capabilities
    extensions = (capabilities.extensions if capabilities else None) or {}
    return ID in extensions and ctx.protocol_version in MODERN_PROTOCOL_VERSIONS


def _require_name(ctx: Request, task: str) -> None:
    """The SDK compares this header with the body for the methods of the core only."""
    headers: Mapping[str, str] = getattr(ctx.request, "headers", None) or {}
    if MCP_NAME_HEADER in headers and decode_header_value(headers[MCP_NAME_HEADER].strip()) != task:
        raise MCPError(code=HEADER_MISMATCH, message="the Mcp-Name header does not match the taskId of the body")


def _require_answer(key: str, method: str, answer: Any) -> None:
    """An answer has the form that its question wants: the job that waits for it must not stumble over it.

    Raises:
        MCPError: it has not.
    """
    for form in ANSWERS.get(method, ()):
        try:
            form.model_validate(answer, by_name=False)
        except ValidationError:
            continue
        return
    raise MCPError(code=INVALID_PARAMS, message=f"inputResponses.{key} is no answer to {method}")


def _goes_on(result: HandlerResult) -> bool:
    """Whether the call left a job behind that works on: neither an error, nor a question first, nor done already."""
    if not isinstance(result, CallToolResult) or result.is_error:
        return False
    return (result.structured_content or {}).get("state") not in ENDED


def _envelope(row: JobRow) -> dict[str, Any]:
    """What is said of a task whatever its status. A job can be asked for at least that long after its end."""
    return {
        "taskId": row.id,
        "status": _status(row),
        "createdAt": _iso(row.created),
        "lastUpdatedAt": _iso(max(row.created, row.claimed, row.ended)),
        "ttlMs": round((row.seconds + FRESH_S) * 1000),
        "pollIntervalMs": POLL_MS,
        **_message(row),
    }


def _status(row: JobRow) -> Status:
    if row.state in ("queued", "running"):
        return "input_required" if row.asks else "working"
    if row.state == "cancelled" and row.fault != "budget":
        return "cancelled"
    # A tool that refuses has answered; only what nobody foresaw is a failure of the protocol.
    return "failed" if row.fault == "crashed" else "completed"


def _message(row: JobRow) -> dict[str, str]:
    if row.state in ENDED or not row.progress:
        return {}
    progress = Progress.model_validate_json(row.progress)
    return {"statusMessage": f"{progress.done:g} of {progress.total:g}: {progress.words}".removesuffix(": ")}


def _outcome(row: JobRow) -> dict[str, Any]:
    """What only `tasks/get` says: the open questions, the result or the error."""
    status = _status(row)
    if status == "input_required":
        return {"inputRequests": json.loads(row.asks or "{}")}
    if status == "completed":
        return {"result": answered(row).model_dump(mode="json", by_alias=True, exclude_none=True)}
    if status == "failed":
        return {"error": {"code": INTERNAL_ERROR, "message": _refusal(row)}}
    return {}


def answered(row: JobRow) -> CallToolResult:
    """What a call that waited for the end of the job would have answered."""
    try:
        structured = _brief(view(row))
    except ToolFailure as failure:
        return CallToolResult(content=[TextContent(type="text", text=legible(str(failure)))], is_error=True)
    return compact(CallToolResult(content=[], structured_content=structured))


def _brief(seen: JobView[Any]) -> dict[str, Any]:
    with briefly(True):
        return seen.model_dump(mode="json", by_alias=True)


def _refusal(row: JobRow) -> str:
    return " ".join(block.text for block in answered(row).content if isinstance(block, TextContent))


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
