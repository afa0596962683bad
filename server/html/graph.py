"""The lineage of a thing as a drawing: what it was made from at its left, what was made of it at its right."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from ...tools.observability.models import Edge, LineageGraph
from .markup import Html, joined, tag, text
from .values import Linked

WIDE, HIGH, ACROSS, DOWN, MARGIN = 210, 46, 56, 14, 10
LETTERS = 25
MOST = 80


@dataclass(frozen=True)
class Layers:
    """Where each thing stands: its layer, nought for the one that was asked for, and its row there."""

    places: dict[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])

    def put(self, name: str, layer: int) -> None:
        if name not in self.places and len(self.places) < MOST:
            row = sum(1 for there, _ in self.places.values() if there == layer)
            self.places[name] = (layer, row)


def lineage(graph: LineageGraph, linked: Linked) -> Html:
    """The graph, of which at most `MOST` things are drawn; all edges stand in the table beside it."""
    layers = Layers({graph.handle: (0, 0)})
    _spread(layers, graph.handle, [(edge.child, edge.parent) for edge in graph.ancestors], -1)
    _spread(layers, graph.handle, [(edge.parent, edge.child) for edge in graph.descendants], 1)
    return _drawn(layers, [*graph.ancestors, *graph.descendants], graph, linked)


def _spread(layers: Layers, start: str, steps: Sequence[tuple[str, str]], way: int) -> None:
    """One layer further with each step away; whoever is met again stays where it is, so that a circle ends."""
    seen, frontier, layer = {start}, [start], 0
    while frontier:
        layer += way
        ends = dict.fromkeys(there for here, there in steps if here in frontier and there not in seen)
        for name in ends:
            layers.put(name, layer)
        seen.update(ends)
        frontier = list(ends)


def _drawn(layers: Layers, edges: Iterable[Edge], graph: LineageGraph, linked: Linked) -> Html:
    first = min(layer for layer, _ in layers.places.values())
    spots = {
        name: (MARGIN + (layer - first) * (WIDE + ACROSS), MARGIN + row * (HIGH + DOWN))
        for name, (layer, row) in layers.places.items()
    }
    width = max(x for x, _ in spots.values()) + WIDE + MARGIN
    height = max(y for _, y in spots.values()) + HIGH + MARGIN
    lines = {(edge.parent, edge.child): edge for edge in edges if edge.parent in spots and edge.child in spots}
    label = f"lineage of {graph.handle}"[:200]
    drawn = tag(
        "svg",
        Html(
            '<defs><marker id="arrow" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" '
            'orient="auto"><path d="M0 0L8 4L0 8z" class="arrow"></path></marker></defs>'
        ),
        [_edge(spots[parent], spots[child]) for parent, child in lines],
        [_node(name, spot, graph.handle, graph.deleted, linked) for name, spot in spots.items()],
        width=width, height=height, viewBox=f"0 0 {width} {height}", role="group", aria_label=label,
    )  # fmt: skip
    return tag("div", drawn, class_="scroll", tabindex=0, role="region", aria_label=label)


def _edge(parent: tuple[int, int], child: tuple[int, int]) -> Html:
    x1, y1, x2, y2 = parent[0] + WIDE, parent[1] + HIGH // 2, child[0], child[1] + HIGH // 2
    if x2 <= x1:  # it leads back, or to the same layer
        x1, x2 = parent[0] + WIDE // 2, child[0] + WIDE // 2
    middle = (x1 + x2) // 2
    return tag("path", d=f"M{x1} {y1}C{middle} {y1} {middle} {y2} {x2} {y2}", class_="edge", marker_end="url(#arrow)")


def _node(name: str, spot: tuple[int, int], here: str, deleted: Collection[str], linked: Linked) -> Html:
    kind, colon, rest = name.partition(":")
    x, y = spot
    words = " ".join(["node"] + ["here"] * (name == here) + ["gone"] * (name in deleted))
    return tag(
        "g",
        tag("title", name),
        tag("rect", x=x, y=y, width=WIDE, height=HIGH, rx=6, class_=words),
        tag("text", f"{kind}{', deleted' if name in deleted else ''}", x=x + 9, y=y + 18, class_="faint"),
        _link(name, tag("text", _cut(rest if colon else name), x=x + 9, y=y + 36), linked),
    )


def _link(name: str, shown: Html, linked: Linked) -> Html:
    """What names a thing with a page of its own leads there."""
    found = linked(name)
    address = found.partition('href="')[2].partition('"')[0]
    return Html(f'<a href="{address}">{shown}</a>') if address else joined(shown)


def _cut(name: str) -> str:
    shown = str(name)
    return shown if len(shown) <= LETTERS else f"{shown[: LETTERS // 2]}…{shown[-LETTERS // 2 + 1 :]}"


def edges_of(graph: LineageGraph, linked: Linked = text) -> list[tuple[Html, Html, Html]]:
    """What was made of what by whom, as the rows of a table."""
    every = dict.fromkeys((edge.child, edge.by, edge.parent) for edge in (*graph.ancestors, *graph.descendants))
    return [(linked(child), text(by), linked(parent)) for child, by, parent in every]
