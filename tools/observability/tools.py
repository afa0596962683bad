"""Tools of the observability slice."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, JsonValue

from ..decisions import Decision
from ..paging import Cursor, Limit, OwnPage, Page
from ..runtime.models import JobView, Wait
from ..spec import Injected, Toolset, reads, writes
from ..vocabulary import Span, Trace
from . import client, decisions, spans
from .models import Case, EvaluateRequest, Evaluation, Judged, LineageGraph, Recorded, SpanHandle, TraceLine, TraceTree

Agent = Annotated[str, Field(description="Its name.")]
MetricName = Annotated[str, Field(description="Its name.")]


async def search_traces(
    context: Injected,
    search: Annotated[str, Field(description="Part of a span's name.")] = "",
    errors_only: bool = False,
    limit: Limit = 20,
    cursor: Cursor = "",
) -> OwnPage[TraceLine]:
    """List traces, newest first."""
    await context.settle()
    return await context.call(client.search_traces, search, errors_only, limit, cursor)


async def get_trace(
    context: Injected,
    trace: Trace,
    span: Annotated[str, Field(description="Only this span and below.")] = "",
    detail: Annotated[client.Detail, Field(description="full: with inputs and outputs.")] = "short",
    limit: Limit = 60,
) -> TraceTree:
    """Show a trace as a tree of tool calls, jobs and their inner steps."""
    await context.settle()
    return await context.call(client.get_trace, trace, span, detail, limit)


async def get_lineage(
    context: Injected, handle: Annotated[str, Field(description="E.g. model:credit/1")], limit: Limit = 50
) -> LineageGraph:
    """Show what a dataset, model, bento, … was made from and what was made from it."""
    return await context.call(client.get_lineage, handle, limit)


async def record_decision(
    context: Injected,
    decided: Annotated[str, Field(description="What was decided.")],
    reason: str,
    handles: Annotated[list[str], Field(description="What it is about.")],
    alternatives: Annotated[list[str] | None, Field(description="Not chosen.")] = None,
    agent: Agent = "",
) -> Recorded:
    """Note a decision and why; get_lineage and explain_promotion show it."""
    return await context.call(decisions.record_decision, decided, reason, handles, alternatives or [], agent)


async def list_decisions(
    context: Injected,
    handle: Annotated[str, Field(description="Those about it.")] = "",
    limit: Limit = 20,
    cursor: Cursor = "",
) -> Page[Decision]:
    """List decisions, newest first."""
    return await context.call(decisions.list_decisions, handle, limit, cursor)


async def start_span(
    context: Injected,
    name: str,
    parent: Span = "",
    trace: Annotated[str, Field(description="A trace to join; any name of yours.")] = "",
    agent: Agent = "",
    input: dict[str, JsonValue] | None = None,
    metadata: dict[str, JsonValue] | None = None,
) -> SpanHandle:
    """Open a span of your own work; pass its meta as _meta of calls that belong below it."""
    await context.settle()
    return await context.call(spans.start_span, name, parent, trace, agent, input, metadata or {})


async def end_span(
    context: Injected,
    span: Span,
    status: spans.EndStatus = "ok",
    error: str = "",
    output: dict[str, JsonValue] | None = None,
    metadata: dict[str, JsonValue] | None = None,
) -> SpanHandle:
    """Close a span that start_span opened."""
    return await context.call(spans.end_span, span, status, error, output, metadata or {})


async def log_llm_call(
    context: Injected,
    model: Annotated[str, Field(description="Of the provider.")],
    input_tokens: int,
    output_tokens: int,
    parent: Span = "",
    seconds: float = 0,
    prompt: str = "",
    response: str = "",
    provider: str = "anthropic",
) -> SpanHandle:
    """Trace a call of a language model that has just ended."""
    await context.settle()
    request = (model, input_tokens, output_tokens, parent, seconds, prompt or None, response or None, provider)
    return await context.call(spans.log_llm_call, *request)


async def log_metric(context: Injected, span: Span, metric: MetricName, value: float, as_score: bool = False) -> Judged:
    """Note a number on a span; as_score also makes it a score in Opik."""
    await context.settle()
    return await context.call(spans.log_metric, span, metric, value, as_score)


async def log_feedback(
    context: Injected,
    trace: Trace,
    score: float,
    feedback_type: Annotated[str, Field(description="What is judged.")] = "quality",
    reason: str = "",
) -> Judged:
    """Judge a trace with a score, like a user's rating."""
    await context.settle()
    return await context.call(spans.log_feedback, trace, score, feedback_type, reason)


async def evaluate_agent(
    context: Injected,
    agent: Agent,
    test_cases: list[Case],
    scoring_metrics: Annotated[
        list[str | dict[str, JsonValue]],
        Field(description="Opik's offline ones: Equals, Contains, IsJson, {metric: RegexMatch, regex}, …"),
    ],
    wait_s: Wait = None,
) -> JobView[Evaluation]:
    """Score an agent's answers; each case becomes a trace."""
    request = EvaluateRequest(agent=agent, test_cases=test_cases, metrics=scoring_metrics)
    return await context.submit(spans.evaluate_agent, request, wait_s)


TOOLSET = Toolset(
    name="observability",
    description="Traces, scores, lineage and decisions.",
    tools=(
        writes(start_span, "Start span"),
        writes(end_span, "End span", idempotent=True),
        writes(log_llm_call, "Log LLM call"),
        writes(log_metric, "Log metric", idempotent=True),
        writes(log_feedback, "Log feedback", idempotent=True),
        writes(evaluate_agent, "Evaluate agent", job="short"),
        reads(search_traces, "Search traces"),
        reads(get_trace, "Get trace"),
        reads(get_lineage, "Get lineage"),
        writes(record_decision, "Record decision", idempotent=True),
        reads(list_decisions, "List decisions"),
    ),
)
