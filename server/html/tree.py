"""A trace as a tree: each span with its time, what it was given and what it answered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ...tools.observability.models import SpanNode, TraceTree
from .markup import Html, joined, tag
from .values import number, plain, state, whole

BAR = 120
# Deeper ones stand beside one another, since browsers nest elements only so far.
DEEPEST = 60


def trace_tree(tree: TraceTree) -> Html:
    """Nested lists; what a span was given and said is folded away."""
    longest = max((node.seconds or 0 for node in tree.spans), default=0)
    pieces = tag("ul", Html("".join(_pieces(tree.spans, longest))), class_="tree")
    left = tree.omitted and tag("p", f"{tree.omitted} more spans are not shown.", class_="faint")
    return joined(pieces, left)


def _pieces(nodes: Sequence[SpanNode], longest: float) -> Iterator[str]:
    """Markup in pieces, written along the depths: a span that is followed by a deeper one holds a list."""
    depths = [min(node.depth, DEEPEST) for node in nodes]
    opened: list[int] = []
    for node, depth in zip(nodes, depths, strict=True):
        while opened and opened[-1] > depth:
            opened.pop()
            yield "</li></ul>"
        if opened and opened[-1] == depth:
            yield "</li>"
        elif opened:
            yield "<ul>"
        if not opened or opened[-1] < depth:
            opened.append(depth)
        yield f"<li>{_span(node, longest)}"
    for place in range(len(opened)):
        yield "</li>" if place == len(opened) - 1 else "</li></ul>"


def _span(node: SpanNode, longest: float) -> Html:
    took = "running" if node.seconds is None else f"{number(node.seconds)} s"
    line = tag(
        "div",
        _bar(node, longest),
        tag("span", node.name, class_="name"),
        tag("span", took, class_="faint"),
        state(node.status),
        node.model and tag("span", node.model),
        node.tokens and tag("span", plain(node.tokens)),
        node.scores and tag("span", plain(node.scores)),
        class_="span",
    )
    return joined(line, node.error and tag("div", node.error, class_="bad"), _inside(node))


def _bar(node: SpanNode, longest: float) -> Html:
    width = round(BAR * (node.seconds or 0) / longest, 1) if longest else 0
    failed = node.status in ("error", "cancelled")
    drawn = tag("rect", x=0, y=2, width=max(1.0, width), height=8, class_="bar bad" if failed else "bar")
    return tag("svg", drawn, width=BAR, height=12, viewBox=f"0 0 {BAR} 12", aria_hidden="true")


def _inside(node: SpanNode) -> Html:
    held = {"input": node.input, "output": node.output, "metadata": node.metadata, "traceback": node.error_trace}
    shown = [joined(tag("div", name, class_="faint"), whole(value)) for name, value in held.items() if value]
    return tag("details", tag("summary", f"what {node.name} was given and said"), shown) if shown else Html()
