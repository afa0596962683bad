"""Read traces from the local store, and the lineage of handles."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from itertools import takewhile
from typing import Any, Literal

from ..decisions import Decision, Decisions, Entry
from ..errors import ToolFailure, unknown
from ..handles import parse
from ..lineage import Edge as StoredEdge
from ..lineage import Lineage
from ..paging import OwnPage, Page, keyset_page, position_of
from ..replica.alone import of_this_server
from ..runtime.work import Work
from ..storage.errors import translated
from ..tracing.ids import trace_of
from ..tracing.score import Score
from ..tracing.span import Span, current
from ..tracing.store.reader import TraceFilter, TraceReader
from ..tracking.models import cut
from ..tracking.noted import RUN, noted_edges
from .models import Edge, LineageGraph, SpanNode, TraceLine, TraceTree

Detail = Literal["short", "full"]
LIST = "traces"
# What a span holds of any size, and how much of all of it an answer shows.
VALUES = ("input", "output", "metadata", "error_trace")
MAX_CHARACTERS, MIN_CHARACTERS = 40_000, 200
# Of the decisions beside a lineage: how many, and characters of their reasons.
DECISIONS, BRIEF = 5, 300


def search_traces(work: Work, name: str, errors_only: bool, limit: int, cursor: str) -> OwnPage[TraceLine]:
    after = position_of(LIST, cursor)
    which = of_caller(work, name=name, errors_only=errors_only, asking=current())
    with reading(work):
        total, rows = reader(work).count(which), reader(work).traces(limit + 1, after, which)
    shown, following = keyset_page(LIST, rows, limit, lambda each: each.position)
    lines = [
        TraceLine(
            trace=f"trace:{found.trace_id}",
            name=found.name,
            start=datetime.fromtimestamp(found.start, UTC).isoformat(timespec="milliseconds"),
            seconds=round(found.seconds, 3),
            spans=found.spans,
            errors=found.errors,
        )
        for found in shown
    ]
    return of_this_server(work.settings, Page(items=lines, total=total, next_cursor=following))


def get_trace(work: Work, trace: str, span: str, detail: Detail, limit: int) -> TraceTree:
    identity = stored_trace(work, trace)
    with reading(work):
        outline = reader(work).outline(identity)
        ordered = _below(span, _ordered(outline)) if span else _ordered(outline)
        places = ordered[:limit]
        spans = reader(work).some_spans([each for each, _ in places])
        scores = reader(work).scores_of([identity, *spans])
    # one that is missing was evicted meanwhile
    shown = [(spans[each], depth) for each, depth in places if each in spans]
    room = max(MIN_CHARACTERS, MAX_CHARACTERS // (len(VALUES) * max(1, len(shown))))
    return TraceTree(
        trace=f"trace:{identity}",
        tree="\n".join(_line(each, depth, scores) for each, depth in shown),
        spans=[_node(each, depth, scores, room) for each, depth in shown] if detail == "full" else [],
        omitted=max(0, len(ordered) - limit),
    )


def stored_trace(work: Work, trace: str) -> str:
    """The id of a stored trace of the caller.

    Raises:
        ToolFailure: there is none of that name, or it is another's.
    """
    identity = trace_of(parse(trace, "trace").name)
    with reading(work):
        if not (reader(work).has_trace(identity) and owns_trace(work, identity)):
            recent = (f"trace:{found.trace_id}" for found in reader(work).traces(50, which=of_caller(work)))
            raise unknown("trace", trace, recent, "search_traces lists them.", limit=3)
    return identity


def owns_trace(work: Work, identity: str) -> bool:
    """Whether the caller may see a stored trace and add to it."""
    return work.by.owns(reader(work).owner(identity) or "")


def of_caller(work: Work, **more: Any) -> TraceFilter:
    """The traces that the caller may see."""
    return TraceFilter(owner=None if work.by.access == "admin" else work.by.name, **more)


def get_lineage(work: Work, handle: str, limit: int) -> LineageGraph:
    lineage = Lineage(work.home)
    ancestors, descendants = lineage.ancestors(handle, limit), lineage.descendants(handle, limit)
    noted, notes = _noted(work, [handle, *(edge.parent for edge in ancestors)])
    ancestors += [edge for edge in noted if edge.child.startswith(RUN) or edge.child == handle][:limit]
    descendants += [edge for edge in noted if edge.parent == handle and edge not in descendants][:limit]
    nodes = sorted({handle, *(end for edge in (*ancestors, *descendants) for end in (edge.child, edge.parent))})
    decided = Decisions(work.home).listed(nodes, DECISIONS + 1)
    if not (ancestors or descendants or decided):
        raise unknown("handle with a history", handle, lineage.nodes())
    if len(decided) > DECISIONS:
        notes.append(f"only the {DECISIONS} newest decisions are shown: list_decisions has all of one thing")
    return LineageGraph(
        handle=handle,
        ancestors=_edges(ancestors),
        descendants=_edges(descendants),
        deleted=sorted(lineage.deleted(nodes)),
        decisions=[_brief(entry) for entry in decided[:DECISIONS]],
        notes=notes,
    )


def _brief(entry: Entry) -> Decision:
    shown = entry.shown()
    return shown.model_copy(update={"reason": cut(shown.reason, BRIEF), "alternatives": []})


def _noted(work: Work, handles: list[str]) -> tuple[list[StoredEdge], list[str]]:
    """What MLflow has noted of the runs among some handles, or why it cannot be asked."""
    try:
        return noted_edges(work, dict.fromkeys(handles)), []
    except ToolFailure as failure:
        return [], [f"what MLflow has noted of runs is left out: {failure}"]


def _edges(edges: list[StoredEdge]) -> list[Edge]:
    return [Edge(child=edge.child, parent=edge.parent, by=edge.by) for edge in edges]


def reading(work: Work) -> AbstractContextManager[None]:
    """Say what to do where the store cannot be read."""
    return translated("the trace store", work.settings.trace_store, "All other tools work on.")


def reader(work: Work) -> TraceReader:
    return TraceReader(work.settings.trace_store)


def _ordered(spans: list[tuple[str, str]]) -> list[tuple[str, int]]:
    """Ids with their depth, from ids with their parents: depth first, children in the order in which they come.

    A span whose parent is not stored counts as a root.
    """
    known = {identity for identity, _ in spans}
    children: dict[str, list[str]] = {}
    for identity, parent in spans:
        children.setdefault(parent if parent in known else "", []).append(identity)
    ordered: list[tuple[str, int]] = []
    waiting = [(identity, 0) for identity in reversed(children.get("", []))]
    while waiting:
        identity, depth = waiting.pop()
        ordered.append((identity, depth))
        waiting.extend((child, depth + 1) for child in reversed(children.get(identity, [])))
    return ordered


def _below(identity: str, ordered: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """A span and what is below it."""
    first = next((number for number, (each, _) in enumerate(ordered) if each == identity), None)
    if first is None:
        raise unknown("span", identity, (each for each, _ in ordered), "detail=full shows them.", limit=3)
    top = ordered[first][1]
    inside = takewhile(lambda each: each[1] > top, ordered[first + 1 :])
    return [(each, depth - top) for each, depth in (ordered[first], *inside)]


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
