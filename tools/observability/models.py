"""What the observability tools say."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from ..decisions import Decision
from ..tracing.span import Span
from ..vocabulary import TextOrData


class Case(BaseModel):
    """`conversation` holds turns of `role` and `content`; what else is passed is kept."""

    model_config = ConfigDict(extra="allow")

    input: TextOrData = None
    output: TextOrData = None
    expected: TextOrData = None
    conversation: list[dict[str, str]] = Field(default_factory=list[dict[str, str]])


class TraceLine(BaseModel):
    """One line of the trace list."""

    trace: str
    name: str
    start: str
    seconds: float
    spans: int
    errors: int


class SpanNode(BaseModel):
    """One span of a trace tree. `depth` 0 is a root; children follow their parent."""

    depth: int
    span: str
    name: str
    kind: str
    status: str
    seconds: float | None = None
    input: JsonValue = None
    output: JsonValue = None
    metadata: JsonValue = None
    error: str | None = None
    error_trace: str | None = None
    model: str | None = None
    tokens: dict[str, int] | None = None
    tags: list[str] | None = None
    scores: dict[str, float] | None = None


class TraceTree(BaseModel):
    """A trace as text to look at, and span by span."""

    trace: str
    tree: str
    spans: list[SpanNode]
    omitted: int = 0


class SpanHandle(BaseModel):
    """A span of the caller's own; `meta` goes into the `_meta` of calls that belong below it."""

    span: str
    trace: str
    name: str
    status: str
    seconds: float | None = None
    meta: dict[str, str]

    @classmethod
    def of(cls, span: Span) -> SpanHandle:
        return cls(
            span=span.id,
            trace=f"trace:{span.trace_id}",
            name=span.name,
            status=span.status,
            seconds=round(span.end - span.start, 4) if span.end else None,
            meta={"opik_trace_id": span.trace_id, "opik_parent_span_id": span.id},
        )


class Judged(BaseModel):
    """A stored score."""

    target: str
    name: str
    value: float


class EvaluateRequest(BaseModel):
    agent: str
    test_cases: list[Case]
    metrics: list[str | dict[str, JsonValue]]


class MetricSummary(BaseModel):
    """One metric over the cases; `not_evaluated` counts those where it could not be computed."""

    metric: str
    better: Literal["higher", "lower"]
    mean: float | None
    min: float | None
    max: float | None
    cases: int
    not_evaluated: int
    why: str | None = None


class JudgedCase(BaseModel):
    trace: str
    scores: dict[str, float]


class Evaluation(BaseModel):
    """An evaluated agent; `cases` are the worst first, as many as fit."""

    agent: str
    metrics: list[MetricSummary]
    cases: list[JudgedCase]
    omitted: int = 0


class Edge(BaseModel):
    """`child` was made from `parent` by the tool `by`."""

    child: str
    parent: str
    by: str


class LineageGraph(BaseModel):
    """What made a thing (ancestors) and what used it (descendants), nearest first; `deleted` are those of them gone.

    What MLflow alone has noted is by MLflow, and its datasets are `input:<name>@<digest>`. `decisions` are the newest
    about any of them.
    """

    handle: str
    ancestors: list[Edge]
    descendants: list[Edge]
    deleted: list[str] = []
    decisions: list[Decision] = []
    notes: list[str] = []


class Recorded(Decision):
    """A decision in the log; `notes` say which of its handles nobody else has heard of."""

    notes: list[str] = []
    undo: str | None = None
