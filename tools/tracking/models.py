"""What the tracking tools say."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, PlainSerializer

RunStatus = Literal["RUNNING", "FINISHED", "FAILED", "KILLED", "SCHEDULED"]


def rounded(value: float) -> float:
    return float(f"{value:.6g}")


class Experiment(BaseModel):
    """An experiment by its full name, i.e. with the configured prefix."""

    experiment_id: str
    name: str
    artifact_root: str
    tags: dict[str, str]
    created: bool


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
