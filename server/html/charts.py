"""Small pictures as SVG: a line over steps, bars with their intervals. What they show stands in a table as well."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .markup import Html, joined, tag
from .values import number

WIDTH, HEIGHT, LEFT, EDGE = 640, 220, 70, 14
ROW, NAMES, BARS, VALUES = 24, 200, 300, 130
LETTERS = 25
MOST = 500
# Points of a line that are marked as well.
FEW = 80
Points = Sequence[tuple[float, float | None]]


@dataclass(frozen=True)
class Bar:
    """A named value, perhaps with the interval that holds it."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    bad: bool = False


def line(title: str, points: Points, dots: Points | None = None) -> Html:
    """Values over steps; what is no finite number is a gap, and without two numbers nothing is drawn.

    Args:
        dots: other values of the same kind, which no line joins; by default those of the line.
    """
    shown = _finite(points)
    if len(shown) < 2:
        return Html()
    marked = shown if dots is None else _finite(dots)
    across, up = _scale([x for x, _ in shown + marked]), _scale([y for _, y in shown + marked])

    def place(x: float, y: float) -> tuple[float, float]:
        right, height = across.of(x) * (WIDTH - LEFT - EDGE), up.of(y) * (HEIGHT - 42)
        return round(LEFT + right, 1), round(HEIGHT - 28 - height, 1)

    return _drawn(
        title, WIDTH, HEIGHT,
        tag("line", x1=LEFT, x2=WIDTH - EDGE, y1=HEIGHT - 28, y2=HEIGHT - 28, class_="axis"),
        tag("line", x1=LEFT, x2=LEFT, y1=EDGE, y2=HEIGHT - 28, class_="axis"),
        _label(LEFT - 6, EDGE + 4, number(up.most), "end"), _label(LEFT - 6, HEIGHT - 26, number(up.least), "end"),
        _label(LEFT, HEIGHT - 8, number(across.least), "start"),
        _label(WIDTH - EDGE, HEIGHT - 8, number(across.most), "end"),
        tag("path", d="M" + " L".join("{} {}".format(*place(*each)) for each in shown), class_="line"),
        [_dot(*place(*each)) for each in marked if dots is not None or len(marked) <= FEW],
    )  # fmt: skip


def _finite(points: Points) -> list[tuple[float, float]]:
    return [(x, y) for x, y in points[-MOST:] if y is not None and math.isfinite(x) and math.isfinite(y)]


def _dot(x: float, y: float) -> Html:
    return tag("circle", cx=x, cy=y, r=2.5, class_="dot")


def bars(title: str, given: Sequence[Bar]) -> Html:
    """One bar a value, from nought; a line through its end is its interval."""
    shown = [each for each in given[:MOST] if math.isfinite(each.value)]
    ends = [0.0, *(end for each in shown for end in (each.value, each.low, each.high) if end is not None)]
    if not shown or not any(ends):
        return Html()
    scale = _scale([each for each in ends if math.isfinite(each)])
    rows = [_bar(each, place * ROW, scale) for place, each in enumerate(shown)]
    return _drawn(title, NAMES + BARS + VALUES, ROW * len(shown) + 6, rows)


@dataclass(frozen=True)
class Scale:
    least: float
    most: float

    def of(self, value: float) -> float:
        """Where it stands between the ends, from 0 to 1."""
        # of the halves, since the whole may be more than a number can hold
        extent = self.most / 2 - self.least / 2
        return (value / 2 - self.least / 2) / extent if extent else 0.5


def _scale(values: Sequence[float]) -> Scale:
    return Scale(min(values), max(values))


def _bar(each: Bar, top: int, scale: Scale) -> Html:
    def place(value: float) -> float:
        return round(NAMES + scale.of(min(max(value, scale.least), scale.most)) * BARS, 1)

    start, end = sorted((place(0.0), place(each.value)))
    middle = top + ROW // 2
    ranged = each.low is not None and each.high is not None
    return joined(
        _label(NAMES - 8, middle + 4, _cut(each.name), "end"),
        tag("rect", x=start, y=top + 5, width=max(1.0, round(end - start, 1)), height=ROW - 10,
            class_="bar bad" if each.bad else "bar"),
        ranged and tag("line", x1=place(each.low or 0), x2=place(each.high or 0), y1=middle, y2=middle, class_="edge"),
        _label(NAMES + BARS + 8, middle + 4, _told(each), "start"),
    )  # fmt: skip


def _told(each: Bar) -> str:
    value = f"{each.value:.4g}"
    return value if each.low is None or each.high is None else f"{value} ({each.low:.3g} to {each.high:.3g})"


def _label(x: float, y: float, words: str, anchor: str) -> Html:
    return tag("text", words, x=x, y=y, text_anchor=anchor)


def _cut(name: str) -> str:
    return name if len(name) <= LETTERS else f"{name[: LETTERS - 1]}…"


def _drawn(title: str, width: int, height: int, *inside: Html | Sequence[Html]) -> Html:
    drawn = tag(
        "svg", *inside, width=width, height=height, viewBox=f"0 0 {width} {height}", role="img", aria_label=title
    )
    return tag("div", drawn, class_="scroll", tabindex=0, role="region", aria_label=title)
