"""The values of one metric over the steps of a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..addresses import METRIC_PICTURE, address
from ..errors import unknown
from ..handles import parse
from ..pictures import SMALL, WHOLE, Picture, drawn, label, require_drawing, table
from ..runtime.work import Work
from .client import record
from .models import MetricHistory, Point
from .reading.source import runs_of
from .records import Measured
from .views import is_measured

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIZE_INCHES = (5.0, 3.0)
# The points that the description of a picture names.
NAMED = 100


def get_metric_history(
    work: Work, run: str, metric: str, limit: int, plot: bool
) -> tuple[MetricHistory, Picture | None]:
    """A metric in the order of its steps, thinned to about `limit` points, and a picture of all of them if asked for.

    Raises:
        ToolFailure: the run has no such metric.
    """
    if plot:
        require_drawing()
    identity, points = _measured(work, run, metric)
    kept = _thinned(points, limit)
    known = _known(points)
    history = MetricHistory(
        run=f"run:{identity}",
        metric=metric,
        points=len(points),
        steps=[point.step for point in kept],
        values=[point.value for point in kept],
        first=points[0],
        last=points[-1],
        lowest=min(known, key=_value, default=None),
        highest=max(known, key=_value, default=None),
        picture=address(METRIC_PICTURE, run_id=identity, metric=metric) if plot else None,
    )
    return history, _drawn(known, metric, _known(kept), SMALL) if plot else None


def metric_picture(work: Work, run: str, metric: str) -> bytes:
    """A metric over its steps as a PNG, in full. Raises ToolFailure as `get_metric_history` does."""
    known = _known(_measured(work, run, metric)[1])
    return _drawn(known, metric, _thinned(known, NAMED), WHOLE).data


def _measured(work: Work, run: str, metric: str) -> tuple[str, list[Point]]:
    """The id of the run and all points of the metric."""
    parse(run, "run")
    with runs_of(work) as runs:
        found = record(runs, run)
        if metric not in found.metrics:
            raise unknown(f"metric of {found.handle}", metric, found.metrics)
        values = runs.history(found.run_id, metric)
    points = [_point(value) for value in sorted(values, key=lambda value: (value.step, value.timestamp))]
    return found.run_id, points


def _known(points: Sequence[Point]) -> list[Point]:
    return [point for point in points if point.value is not None]


def _point(value: Measured) -> Point:
    return Point(step=value.step, value=value.value if is_measured(value.value) else None)


def _value(point: Point) -> float:
    return point.value if point.value is not None else float("nan")


def _thinned(points: Sequence[Point], limit: int) -> list[Point]:
    """Evenly spaced points with both ends, the lowest and the highest among them."""
    if len(points) <= limit:
        return list(points)
    known = [place for place, point in enumerate(points) if point.value is not None]
    extremes = {pick(known, key=lambda place: _value(points[place])) for pick in (min, max)} if known else set()
    even = {round(place * (len(points) - 1) / (limit - 1)) for place in range(limit)}
    return [points[place] for place in sorted(even | extremes)]


def _drawn(points: Sequence[Point], metric: str, shown: Sequence[Point], most: int) -> Picture:
    def draw(figure: Figure) -> None:
        figure.set_size_inches(SIZE_INCHES)
        axes = figure.add_subplot()
        mark = "." * (len(points) < 100)
        axes.plot([point.step for point in points], [_value(point) for point in points], marker=mark)
        axes.set(xlabel="step", ylabel=label(metric))

    return drawn(draw, table(("step", metric), [(point.step, point.value) for point in shown]), most)
