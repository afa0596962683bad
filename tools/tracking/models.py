"""What the tracking tools say."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, PlainSerializer

from ..estimates import Statistic
from ..numbers import rounded

T = TypeVar("T")
RunStatus = Literal["RUNNING", "FINISHED", "FAILED", "KILLED", "SCHEDULED"]


def cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"


def fit(items: Mapping[str, T], chars: int, first: Collection[str] = ()) -> dict[str, T]:
    """As many as fit, in the order of their names, those named `first` before the others and in any case."""
    shown: dict[str, T] = {}
    for key in sorted(items, key=lambda key: (key not in first, key)):
        size = len(json.dumps({key: items[key]}, ensure_ascii=False))
        if size <= chars or key in first or not shown:
            shown[key] = items[key]
            chars -= size
    return shown


class Experiment(BaseModel):
    """An experiment by its full name, i.e. with the configured prefix."""

    experiment_id: str
    name: str
    artifact_root: str
    tags: dict[str, str]
    created: bool
    undo: str | None = None


class Run(BaseModel):
    """A run. `duration_s` is None while it runs; `models` were logged in it; `omitted` says what is not shown.

    `datasets` are name@digest, as MLflow has noted them as its inputs.
    """

    run: str
    name: str
    experiment: str
    status: RunStatus
    started: str
    duration_s: float | None
    artifact_uri: str
    params: dict[str, str]
    metrics: dict[str, float]
    tags: dict[str, str]
    models: list[str] = []
    datasets: list[str] = []
    omitted: str | None = None
    notes: list[str] = []
    undo: str | None = None


class RunLine(BaseModel):
    """One line of the run list, its metrics to 6 digits on the wire; get_run shows the `more` that there is."""

    run: str
    name: str
    status: RunStatus
    started: str
    metrics: dict[str, Annotated[float, PlainSerializer(rounded)]]
    params: dict[str, str] = {}
    more: str | None = None


class Logged(BaseModel):
    """What a call added to a run."""

    run: str
    params: int = 0
    metrics: int = 0
    tags: int = 0
    artifact: str | None = None


class ExperimentLine(BaseModel):
    """An experiment and how many runs it has; with `more` there are more than were counted."""

    experiment_id: str
    name: str
    runs: int
    more: bool = False
    updated: str | None = None
    tags: dict[str, str] = {}


class RunComparison(BaseModel):
    """Runs side by side: each list has one value a run, in the order of `runs`, null where a run has none.

    `params` and `versions` are those that differ; `differences` are each metric less that of the first run. What cannot
    be told from the runs is null in `same_data` and `same_versions`.
    """

    runs: list[str]
    names: list[str]
    status: list[RunStatus]
    params: dict[str, list[str | None]]
    metrics: dict[str, list[Statistic | None]]
    differences: dict[str, list[Statistic | None]]
    data: list[str | None]
    same_data: bool | None
    versions: dict[str, list[str | None]] = {}
    same_versions: bool | None
    omitted: str | None = None
    notes: list[str] = []


class Point(BaseModel):
    step: int
    value: Statistic | None


class MetricHistory(BaseModel):
    """A metric over its steps; of `points` values, those shown keep the first, last, lowest and highest.

    `picture` is the resource with all of them drawn.
    """

    run: str
    metric: str
    points: int
    steps: list[int]
    values: list[Statistic | None]
    first: Point
    last: Point
    lowest: Point | None
    highest: Point | None
    picture: str | None = None


class ArtifactLine(BaseModel):
    """A file, with its bytes, or a folder of the artifacts of a run."""

    path: str
    folder: bool = False
    size: int | None = None


class Artifact(BaseModel):
    """A part of a text file from `offset` (characters), or an image, which stands beside this answer.

    The `text` of an image is its description: of one that was drawn here, the numbers that it shows. `picture` is the
    resource with the whole of it.
    """

    run: str
    path: str
    size: int
    kind: Literal["text", "json", "table", "image"]
    text: str | None = None
    lines: int | None = None
    next_offset: int | None = None
    picture: str | None = None
