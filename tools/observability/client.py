"""Read traces from the local store, and the lineage of handles."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import takewhile
from typing import Any, Literal

from ..errors import Unavailable, unknown
from ..handles import parse
from ..lineage import Edge as StoredEdge
from ..lineage import Lineage
from ..paging import Page, offset_of
from ..runtime.work import Work
from ..tracing.ids import trace_of
from ..tracing.score import Score
from ..tracing.span import Span
from ..tracing.store.reader import TraceReader
from .models import Edge, LineageGraph, SpanNode, TraceLine, TraceTree

Detail = Literal["brief", "full"]
# What a span holds of any size, and how much of all of it an answer shows.
VALUES = ("input", "output", "metadata", "error_trace")
MAX_CHARACTERS, MIN_CHARACTERS = 40_000, 200


def search_traces(work: Work, name: str, errors_only: bool, limit: int, cursor: str) -> Page[TraceLine]:
    stored, start = reader(work), offset_of(cursor)
    with readable(work):
        total, traces = stored.count(name, errors_only), stored.traces(limit, start, name, errors_only)
    lines = [
        TraceLine(
            trace=f"trace:{found.trace_id}",
            name=found.name,
            start=datetime.fromtimestamp(found.start, UTC).isoformat(timespec="milliseconds"),
            seconds=round(found.seconds, 3),
            spans=found.spans,
            errors=found.errors or 0,
        )
        for found in traces
    ]
    return Page(items=lines, total=total, next_cursor=str(start + limit) if start + limit < total else None)


def get_trace(work: Work, trace: str, span: str, detail: Detail, limit: int) -> TraceTree:
    identity = trace_of(parse(trace, "trace").name)
    with readable(work):
        spans, scores = reader(work).spans(identity), reader(work).scores(identity)
        if not spans:
            recent = (f"trace:{found.trace_id}" for found in reader(work).traces(50, 0))
            raise unknown("trace", trace, recent, "search_traces lists them.", limit=3)
    ordered = _below(span, _ordered(spans)) if span else _ordered(spans)
    shown = ordered[:limit]
    room = max(MIN_CHARACTERS, MAX_CHARACTERS // (len(VALUES) * len(shown)))
    return TraceTree(
        trace=f"trace:{identity}",
        tree="\n".join(_line(each, depth, scores) for each, depth in shown),
        spans=[_node(each, depth, scores, room) for each, depth in shown] if detail == "full" else [],
        omitted=max(0, len(ordered) - limit),
    )


def get_lineage(work: Work, handle: str, limit: int) -> LineageGraph:
    lineage = Lineage(work.home)
    ancestors, descendants = lineage.ancestors(handle, limit), lineage.descendants(handle, limit)
    if not ancestors and not descendants:
        raise unknown("handle with a history", handle, lineage.nodes())
    return LineageGraph(handle=handle, ancestors=_edges(ancestors), descendants=_edges(descendants))


def _edges(edges: list[StoredEdge]) -> list[Edge]:
    return [Edge(child=edge.child, parent=edge.parent, by=edge.by) for edge in edges]


@contextmanager
def readable(work: Work) -> Generator[None]:
    """Say what to do where the store cannot be read."""
    try:
        yield
    except sqlite3.Error as error:
        raise Unavailable(
            f"the traces in {work.settings.trace_store} cannot be read: {error}",
            "Move the file away and start the server again: a new one is made. All other tools work on.",
        ) from error


def reader(work: Work) -> TraceReader:
    return TraceReader(work.settings.trace_store)


def _ordered(spans: list[Span]) -> list[tuple[Span, int]]:
    """Depth first, children in order of their start; a span whose parent is not stored counts as a root."""
    known = {span.id for span in spans}
    children: dict[str, list[Span]] = {}
    for span in spans:
        children.setdefault(span.parent_id if span.parent_id in known else "", []).append(span)
    ordered: list[tuple[Span, int]] = []
    waiting = [(span, 0) for span in reversed(children.get("", []))]
    while waiting:
        span, depth = waiting.pop()
        ordered.append((span, depth))
        waiting.extend((child, depth + 1) for child in reversed(children.get(span.id, [])))
    return ordered


def _below(identity: str, ordered: list[tuple[Span, int]]) -> list[tuple[Span, int]]:
    """A span and what is below it."""
    first = next((number for number, (span, _) in enumerate(ordered) if span.id == identity), None)
    if first is None:
        raise unknown("span", identity, (span.id for span, _ in ordered), "detail=full shows them.", limit=3)
    top = ordered[first][1]
    inside = takewhile(lambda each: each[1] > top, ordered[first + 1 :])
    return [(span, depth - top) for span, depth in (ordered[first], *inside)]


def _line(span: Span, depth: int, scores: list[Score]) -> str:
    took = f"{span.end - span.start:.3f} s" if span.end else "running"
    bad = f"  {span.status}: {span.error[:80]}" if span.status in ("error", "cancelled") else ""
    events = "".join(f"  *{name}" for name in _events(span)[:3])
    tags = "".join(f"  #{tag[:30]}" for tag in span.tags[:3])
    tokens = f"  {span.usage['total_tokens']} tokens" if span.usage.get("total_tokens") else ""
    model = f"  {span.model}" if span.model else ""
    judged = "".join(f"  {name} {value:.3g}" for name, value in list(_scores_of(span, depth, scores).items())[:5])
    return f"{'  ' * depth}{span.name[:120]}{model}  {took}{tokens}{judged}{events}{tags}{bad}"


def _events(span: Span) -> list[str]:
    return [str(event.get("name"))[:40] for event in span.metadata.get("events", ()) if isinstance(event, dict)]


def _node(span: Span, depth: int, scores: list[Score], room: int) -> SpanNode:
    return SpanNode(
        depth=depth,
        span=span.id,
        name=span.name,
        kind=span.kind,
        status=span.status,
        seconds=round(span.end - span.start, 4) if span.end else None,
        error=span.error or None,
        model=span.model or None,
        tokens=span.usage or None,
        tags=span.tags or None,
        scores=_scores_of(span, depth, scores) or None,
        **{name: _fitting(getattr(span, name), room) for name in VALUES},
    )


def _fitting(value: Any, room: int) -> Any:
    """The value, or as much of its text as there is room for."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if len(text) > room:
        return f"{text[:room]}... ({len(text)} characters)"
    return None if value in ("", {}) else value


def _scores_of(span: Span, depth: int, scores: list[Score]) -> dict[str, float]:
    """Those of the span; a root also shows those of its trace."""
    about = {span.id, span.trace_id} if depth == 0 else {span.id}
    return {score.name: score.value for score in scores if score.id in about}
