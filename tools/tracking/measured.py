"""The values of one metric over the steps of a run."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import require, unknown
from ..runtime.work import Work
from .client import opened_at
from .models import MetricHistory, Point
from .views import is_measured

if TYPE_CHECKING:
    from mlflow.entities import Metric

SIZE_INCHES, DPI = (5.0, 3.0), 90


def get_metric_history(work: Work, run: str, metric: str, limit: int, plot: bool) -> tuple[MetricHistory, bytes | None]:
    """A metric in the order of its steps, thinned to about `limit` points, and a PNG of all of them if asked for.

    Raises:
        ToolFailure: the run has no such metric.
    """
    if plot:
        require("matplotlib")
    with opened_at(work, run) as (client, found):
        if metric not in found.data.metrics:
            raise unknown(f"metric of run:{found.info.run_id}", metric, found.data.metrics)
        values = client.get_metric_history(found.info.run_id, metric)
    points = [_point(value) for value in sorted(values, key=lambda value: (value.step, value.timestamp))]
    kept = _thinned(points, limit)
    known = [point for point in points if point.value is not None]
    history = MetricHistory(
        run=f"run:{found.info.run_id}",
        metric=metric,
        points=len(points),
        steps=[point.step for point in kept],
        values=[point.value for point in kept],
        first=points[0],
        last=points[-1],
        lowest=min(known, key=_value, default=None),
        highest=max(known, key=_value, default=None),
    )
    return history, _drawn(known, metric) if plot else None


def _point(value: Metric) -> Point:
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


def _drawn(points: Sequence[Point], metric: str) -> bytes:
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE_INCHES, layout="tight")
    axes = figure.add_subplot()
    axes.plot([point.step for point in points], [_value(point) for point in points], marker="." * (len(points) < 100))
    # matplotlib reads text between dollars as a formula.
    axes.set(xlabel="step", ylabel=metric.replace("$", r"\$"))
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=DPI)
    return picture.getvalue()
