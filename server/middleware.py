"""One span per request that does work, under the caller's trace if it names one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from mcp.server import ServerRequestContext
from mcp.server.context import CallNext, HandlerResult

from ..tools.tracing.span import Carrier, Kind, Span, Tracer
from .services import Services

TRACED: Mapping[str, Kind] = {"tools/call": "tool", "resources/read": "general", "prompts/get": "general"}
IDENTIFIER = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
TRACEPARENT = re.compile(r"[0-9a-f]{2}-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-[0-9a-f]{2}")


class TraceRequests:
    """Server middleware: opens the span in which the handler, the workers and the jobs nest theirs."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    async def __call__(self, ctx: ServerRequestContext[Services], call_next: CallNext) -> HandlerResult:
        kind = TRACED.get(ctx.method)
        if kind is None:
            return await call_next(ctx)
        params = ctx.params or {}
        target = str(params.get("name") or params.get("uri") or "")
        given = params.get("arguments", {"uri": target})
        with self._tracer.span(target, kind, parent=_caller(ctx), input=given, method=ctx.method) as span:
            result = await call_next(ctx)
            _note_outcome(span, result)
            return result


def _caller(ctx: ServerRequestContext[Services]) -> Carrier | None:
    """The span the caller works in: Opik's own ids first, then a W3C trace id turned into one of ours."""
    meta: Mapping[str, Any] = ctx.meta or {}
    if trace := _identifier(meta.get("opik_trace_id")):
        return Carrier(trace, _identifier(meta.get("opik_parent_span_id")))
    match = TRACEPARENT.fullmatch(str(meta.get("traceparent") or ""))
    return Carrier(_as_uuid7(match["trace"]), "") if match else None


def _identifier(given: Any) -> str:
    """The id if it is one: what a caller sends is stored and shown, and Opik refuses anything else."""
    text = str(given).lower()
    return text if IDENTIFIER.fullmatch(text) else ""


def _as_uuid7(trace: str) -> str:
    """The same id for every call of one W3C trace, in the only form Opik takes."""
    digits = f"{trace[:12]}7{trace[13:16]}8{trace[17:]}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _note_outcome(span: Span, result: HandlerResult) -> None:
    # The wire dict of a tool result: a failed tool does not raise, it says isError.
    if not isinstance(result, Mapping):
        return
    text = " ".join(str(item.get("text", "")) for item in result.get("content", ()) if isinstance(item, Mapping))
    if result.get("isError"):
        # A crash has said more to the span than to the caller.
        if span.status != "error":
            span.fail(text)
    else:
        span.set_output(result.get("structuredContent") or text[:2000] or None)
