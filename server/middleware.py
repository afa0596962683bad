"""One span per request that does work, under the caller's trace if it names one."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote

from mcp.server import ServerRequestContext
from mcp.server.context import CallNext, HandlerResult

from ..config.settings import Capture
from ..tools.runtime.identity import acting
from ..tools.tracing.ids import IDENTIFIER, as_uuid7, uuid7
from ..tools.tracing.mentions import note_handles
from ..tools.tracing.span import OWNER, Carrier, Kind, Span, Tracer
from .services import Services

TRACED: Mapping[str, Kind] = {"tools/call": "tool", "resources/read": "general", "prompts/get": "general"}
TRACEPARENT = re.compile(r"[0-9a-f]{2}-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-[0-9a-f]{2}")
MAX_THREAD = 200
Request = ServerRequestContext[Services, Any]


@dataclass(frozen=True)
class TraceContext:
    """Where a request comes from. `foreign` says that the trace is kept by the caller; `w3c` is its W3C trace id."""

    above: Carrier | None = None
    foreign: bool = False
    thread: str = ""
    w3c: str = ""


class TraceRequests:
    """Server middleware: opens the span in which the handler, the workers and the jobs nest theirs.

    Args:
        capture_of: how much of the inputs and outputs of a tool is kept; "" stands for what is no tool.
        owns: whether whoever acts may write into a trace of that id.
    """

    def __init__(
        self, tracer: Tracer, capture_of: Callable[[str], Capture], owns: Callable[[str], Awaitable[bool]]
    ) -> None:
        self._owns = owns
        self._tracer = tracer
        self._capture_of = capture_of
        # Of a connection without sessions: a stdio server has one client.
        self._thread = uuid7()

    async def __call__(self, ctx: Request, call_next: CallNext) -> HandlerResult:
        kind = TRACED.get(ctx.method)
        if kind is None:
            return await call_next(ctx)
        params = ctx.params or {}
        target = str(params.get("name") or params.get("uri") or "")
        context = await self._own(trace_context_of(ctx, self._thread))
        with self._tracer.span(
            target,
            kind,
            parent=context.above,
            input=params.get("arguments", {"uri": target}),
            announce=True,
            capture=self._capture_of(target if kind == "tool" else ""),
            thread=context.thread,
            foreign=context.foreign,
            method=ctx.method,
        ) as span:
            if owner := acting().name:
                span.set_attribute(OWNER, owner)
            if context.w3c:
                span.set_attribute("w3c_trace_id", context.w3c)
            result = await call_next(ctx)
            _note_outcome(span, result)
            return result

    async def _own(self, context: TraceContext) -> TraceContext:
        """Without the trace that it names if that is another caller's: nobody writes into it."""
        if context.above is None or await self._owns(context.above.trace_id):
            return context
        return replace(context, above=None, foreign=False, w3c="")


def trace_context_of(ctx: Request, connection: str) -> TraceContext:
    """The span the caller works in: Opik's own ids first, then a W3C trace id turned into one of ours.

    Each is looked for in `_meta`, then in the headers of HTTP.
    """
    meta: Mapping[str, Any] = ctx.meta or {}
    headers: Mapping[str, str] = getattr(ctx.request, "headers", None) or {}
    thread = _thread(ctx, meta, headers, connection)
    for ids in _opik_ids(meta, headers):
        if trace := _identifier(ids.get("opik_trace_id")):
            return TraceContext(Carrier(trace, _identifier(ids.get("opik_parent_span_id"))), True, thread)
    for given in (meta.get("traceparent"), headers.get("traceparent")):
        match = TRACEPARENT.fullmatch(str(given or ""))
        if match and int(match["trace"], 16):  # all zeros is no trace (W3C Trace Context, 3.2.2.3)
            return TraceContext(Carrier(as_uuid7(match["trace"]), ""), False, thread, match["trace"])
    return TraceContext(thread=thread)


def _opik_ids(meta: Mapping[str, Any], headers: Mapping[str, str]) -> tuple[Mapping[str, Any], ...]:
    """What names Opik's ids, in rising distance from the call."""
    return (
        meta,
        headers,
        {name.replace("-", "_").lower(): value for name, value in headers.items()},
        _baggage(meta.get("baggage")),
        _baggage(headers.get("baggage")),
    )


def _baggage(given: Any) -> Mapping[str, str]:
    """Opik's ids out of W3C baggage: `opik.trace_id=…,opik.span_id=…;property`."""
    pairs = (item.partition(";")[0].partition("=") for item in str(given or "").split(","))
    names = {"opik.trace_id": "opik_trace_id", "opik.span_id": "opik_parent_span_id"}
    return {names[name.strip()]: unquote(value.strip()) for name, _, value in pairs if name.strip() in names}


def _thread(ctx: Request, meta: Mapping[str, Any], headers: Mapping[str, str], connection: str) -> str:
    """The conversation: as the caller calls it, else the MCP session; over stateless HTTP there is none."""
    named = meta.get("opik_thread_id") or headers.get("mcp-session-id")
    if named is None and ctx.request is not None:
        named = ctx.request.query_params.get("session_id")
    elif named is None:
        named = connection
    return str(named or "")[:MAX_THREAD]


def _identifier(given: Any) -> str:
    """The id if it is one: what a caller sends is stored and shown, and Opik refuses anything else."""
    text = str(given).lower()
    return text if IDENTIFIER.fullmatch(text) else ""


def _said(result: Mapping[str, Any]) -> str:
    """The text of a tool's answer, of the contents of a resource, or of the messages of a prompt."""
    messages = (item.get("content") for item in result.get("messages", ()) if isinstance(item, Mapping))
    blocks = (*result.get("content", ()), *result.get("contents", ()), *messages)
    return " ".join(str(block.get("text", "")) for block in blocks if isinstance(block, Mapping))


def _note_outcome(span: Span, result: HandlerResult) -> None:
    # The wire dict of a tool result: a failed tool does not raise, it says isError.
    if not isinstance(result, Mapping):
        return
    text = _said(result)
    if result.get("isError"):
        # A crash has said more to the span than to the caller.
        if span.status != "error":
            span.fail(text)
            span.error_type = span.error_type or "ToolError"
        return
    structured = result.get("structuredContent") or ({"job": f"job:{result['taskId']}"} if "taskId" in result else None)
    span.set_output(structured or text[:2000] or None)
    note_handles(span, structured)
