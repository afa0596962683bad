"""Spans, scores and evaluations of agents that only speak MCP, written straight into the store."""

from __future__ import annotations

import math
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from pydantic import JsonValue

from ..errors import ToolFailure, Unavailable, require, unknown
from ..handles import parse
from ..locks import locked
from ..runtime.work import Work
from ..tracing.ids import IDENTIFIER, like, trace_of
from ..tracing.score import Score
from ..tracing.span import OWNER, Carrier, Span, Tracer
from ..tracing.store.writer import TraceStore
from .client import owns_trace, reader, reading, stored_trace
from .connector import record_case
from .evaluation import FAULTS, Chosen, Verdict, chosen, evaluate
from .models import EvaluateRequest, Evaluation, Judged, JudgedCase, MetricSummary, SpanHandle

OPENED = "opened_by_agent"
LOCK = "spans.lock"
PATIENCE_S = 10.0
# What Opik can hold of a count of tokens.
MAX_COUNT = 2**31 - 1
SHOWN_CASES = 20
EndStatus = Literal["ok", "error", "cancelled"]


@dataclass(frozen=True)
class Writer:
    """What is put here can be read once the body has ended."""

    store: TraceStore
    tracer: Tracer


def start_span(
    work: Work, name: str, parent: str, trace: str, agent: str, input: JsonValue, metadata: dict[str, JsonValue]
) -> SpanHandle:
    """Open a span below the span `parent`, in the trace `trace` (one of the caller's own), or in a new trace."""
    with _writing(work) as writer:
        given = {OPENED: agent or True, **_unsigned(metadata), **({"trace_name": trace} if trace else {})}
        span = writer.tracer.start(name, parent=_above(work, parent, trace), input=input)
        for key, value in given.items():
            span.set_attribute(key, value)
        _sign(work, span)
        span.tags = [agent] if agent else []
        writer.tracer.announce(span)
    return SpanHandle.of(span)


def end_span(
    work: Work, span: str, status: EndStatus, error: str, output: JsonValue, metadata: dict[str, JsonValue]
) -> SpanHandle:
    """Close a span that start_span has opened, also of another server."""
    with _changing(work, span) as (found, writer):
        if OPENED not in found.metadata:
            raise ToolFailure(f"{found.name!r} was not opened by start_span", "The server ends its own spans.")
        if found.end:
            raise ToolFailure(f"span {found.id} ({found.name}) has ended already", "start_span opens another.")
        found.set_status(status, error)
        if output is not None:
            found.set_output(output)
        for key, value in _unsigned(metadata).items():
            found.set_attribute(key, value)
        writer.tracer.finish(found)
    return SpanHandle.of(found)


def log_llm_call(
    work: Work, model: str, input_tokens: int, output_tokens: int, parent: str, seconds: float, prompt: JsonValue,
    response: JsonValue, provider: str,
) -> SpanHandle:  # fmt: skip
    """Store a call of a language model that has just ended."""
    for name, value in (("input_tokens", input_tokens), ("output_tokens", output_tokens), ("seconds", seconds)):
        if not 0 <= value <= MAX_COUNT:
            raise ToolFailure(f"{name} is {value}", f"It lies between 0 and {MAX_COUNT}.")
    with _writing(work) as writer:
        span = writer.tracer.start("llm_call", "llm", parent=_above(work, parent, ""), input=prompt)
        _sign(work, span)
        span.start -= seconds
        span.model, span.provider = model, provider
        span.log_tokens(input_tokens, output_tokens)
        if response is not None:
            span.set_output(response)
        writer.tracer.finish(span)
    return SpanHandle.of(span)


def log_metric(work: Work, span: str, name: str, value: float, as_score: bool) -> Judged:
    """Note a number on a stored span."""
    _check_finite(name, value)
    with _changing(work, span) as (found, writer):
        if not found.end and OPENED not in found.metadata:
            raise ToolFailure(
                f"{found.name!r} still runs, and what it says at its end would replace the metric",
                "Log it when it has ended, or on a span of your own: start_span opens one.",
            )
        found.set_attribute("metrics", {**found.metadata.get("metrics", {}), name: value})
        writer.tracer.announce(found)
        if as_score:
            writer.store.put_score(Score("span", found.id, name, value))
    return Judged(target=f"span {found.id}", name=name, value=value)


def log_feedback(work: Work, trace: str, score: float, feedback_type: str, reason: str) -> Judged:
    """Judge a stored trace; a second judgement of the same type replaces the first."""
    _check_finite("score", score)
    identity = stored_trace(work, trace)
    with _writing(work) as writer:
        writer.store.put_score(Score("trace", identity, feedback_type, score, reason))
    return Judged(target=f"trace:{identity}", name=feedback_type, value=score)


def evaluate_agent(work: Work, request: EvaluateRequest) -> Evaluation:
    """Judge what an agent answered; every case becomes a trace with its scores."""
    wanted = chosen(request.metrics)
    if not request.test_cases:
        raise ToolFailure("there is no test case", 'Pass some, e.g. {"input": …, "output": …, "expected": …}.')
    _check_captured(work)
    require("opik")
    work.progress(0, len(request.test_cases), "loading the metrics")
    verdicts = evaluate(request.test_cases, wanted)
    traces = _recorded(work, request, verdicts)
    judged = [
        JudgedCase(trace=f"trace:{trace}", scores=_scores(found)) for trace, found in zip(traces, verdicts, strict=True)
    ]
    faults = {each.label for each in wanted if each.metric in FAULTS}
    worst = sorted(judged, key=lambda case: sum(-v if name in faults else v for name, v in case.scores.items()))
    return Evaluation(
        agent=request.agent,
        metrics=[_summary(each, [case[number] for case in verdicts]) for number, each in enumerate(wanted)],
        cases=worst[:SHOWN_CASES],
        omitted=max(0, len(worst) - SHOWN_CASES),
    )


def _recorded(work: Work, request: EvaluateRequest, verdicts: list[list[Verdict]]) -> list[str]:
    """Store the cases; a job that is run a second time stores the same traces again."""
    again = [like(work.job, f"case {number}") if work.job else "" for number in range(len(verdicts))]
    with _writing(work) as writer:
        return [
            record_case(writer.tracer, writer.store, request.agent, case, found, identity, work.by.name)
            for case, found, identity in zip(request.test_cases, verdicts, again, strict=True)
        ]


def _scores(verdicts: list[Verdict]) -> dict[str, float]:
    return {verdict.metric: verdict.value for verdict in verdicts if verdict.value is not None}


def _summary(metric: Chosen, verdicts: list[Verdict]) -> MetricSummary:
    values = [verdict.value for verdict in verdicts if verdict.value is not None]
    reasons = [verdict.reason for verdict in verdicts if verdict.value is None]
    return MetricSummary(
        metric=metric.label,
        better="lower" if metric.metric in FAULTS else "higher",
        mean=sum(values) / len(values) if values else None,
        min=min(values, default=None),
        max=max(values, default=None),
        cases=len(verdicts),
        not_evaluated=len(reasons),
        why=reasons[0] if reasons else None,
    )


def _check_finite(name: str, value: float) -> None:
    if not math.isfinite(value):
        raise ToolFailure(f"{name} is {value}", "Pass a finite number.")


def _check_captured(work: Work) -> None:
    if work.settings.tracing.capture_for("") == "off":
        raise ToolFailure("nothing is traced here", "Set tracing.enabled: true and tracing.capture: full or metadata.")


@contextmanager
def _writing(work: Work) -> Generator[Writer]:
    """What is stored is the caller's own, so that it follows the settings of all, not those of this toolset."""
    _check_captured(work)
    settings = work.settings
    store = TraceStore.of(settings)
    try:
        yield Writer(store, Tracer(store.put, settings.tracing.capture_for("")))
    finally:
        written = store.close()
    if not written:
        raise store.failure or Unavailable(f"{settings.trace_store} could not be written", "The log says why.")


@contextmanager
def _changing(work: Work, identity: str) -> Generator[tuple[Span, Writer]]:
    """A stored span that nobody else changes meanwhile."""
    with locked(work.home / LOCK, PATIENCE_S, "another span is being changed", "Try again."):
        found = _stored(work, identity)
        with _writing(work) as writer:
            yield found, writer


def _above(work: Work, parent: str, trace: str) -> Carrier | None:
    """Where a span goes: below a stored one, into a trace of the caller's own, or where it is."""
    if parent:
        return _stored(work, parent).carrier
    if not trace:
        return Carrier()
    identity = trace_of(parse(trace, "trace").name)
    with reading(work):
        if reader(work).has_trace(identity) and not owns_trace(work, identity):
            raise ToolFailure(f"trace {trace[:80]!r} is another caller's", "Choose another name.")
    return Carrier(identity, "")


def _sign(work: Work, span: Span) -> None:
    """Say who has made a span."""
    if work.by.name:
        span.set_attribute(OWNER, work.by.name)


def _unsigned(metadata: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Nobody says of himself who he is."""
    return {key: value for key, value in metadata.items() if key != OWNER}


def _owns_span(work: Work, identity: str) -> bool:
    found = reader(work).span(identity)
    return found is not None and owns_trace(work, found.trace_id)


def _stored(work: Work, identity: str) -> Span:
    shown = identity.strip().lower()
    with reading(work):
        found = reader(work).span(shown) if IDENTIFIER.fullmatch(shown) else None
        if found is None or not owns_trace(work, found.trace_id):
            opened = (each for each in reader(work).open_spans() if _owns_span(work, each))
            raise unknown("span", identity, opened, "get_trace shows them, in full detail.", limit=3)
    return found
