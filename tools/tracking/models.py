"""What the tracking tools say."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, PlainSerializer

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
    """A run. `duration_s` is None while it runs; `models` were logged in it; `omitted` says what is not shown."""

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
