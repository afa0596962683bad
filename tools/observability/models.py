"""What the observability tools say."""

from __future__ import annotations

from pydantic import BaseModel, JsonValue


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


class Edge(BaseModel):
    """`child` was made from `parent` by the tool `by`."""

    child: str
    parent: str
    by: str


class LineageGraph(BaseModel):
    """What made a thing (ancestors) and what used it (descendants), nearest first."""

    handle: str
    ancestors: list[Edge]
    descendants: list[Edge]
