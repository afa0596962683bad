"""What the registry tools say."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from ..modeling.card import Feature, Label, Task

Stage = Literal["None", "Staging", "Production", "Archived"]


class ModelVersion(BaseModel):
    """One registered version. `source` is the logged model it stands for; `more` says what is not shown."""

    model: str
    version: int
    stage: Stage
    aliases: list[str]
    source: str
    run: str | None
    created: str
    description: str = ""
    tags: dict[str, str] = {}
    more: str | None = None


class LogRequest(BaseModel):
    """Either `model`, or `path` with `dataset` and `target`."""

    model: str
    path: str
    preprocessor: str
    dataset: str
    target: str
    run: str
    register_as: str


class LoggedModel(BaseModel):
    """A model logged in a run, and the version it was registered as, if it was."""

    model: str
    run: str
    algorithm: str
    task: Task
    features: list[str]
    classes: list[Label] = []
    registered: str | None = None


class CheckResult(BaseModel):
    """The model was loaded in a worker and predicted rows of its training data."""

    loaded: bool
    rows: int
    predictions: list[Label]


class RegisteredModel(BaseModel):
    """A registered model, newest versions first, and what its newest (or the named) version takes and gives.

    `omitted` counts the versions that are not shown; the named one always is.
    """

    name: str
    description: str
    versions: list[ModelVersion]
    omitted: int = 0
    algorithm: str | None = None
    target: str | None = None
    classes: list[Label] = []
    inputs: list[Feature] = []
    check: CheckResult | None = None


class ModelLine(BaseModel):
    name: str
    latest_version: int | None
    aliases: dict[str, str]
    description: str


class Transition(BaseModel):
    """A version in its new stage, and the versions that were archived for it."""

    model: str
    stage: Stage
    alias: str | None
    archived: list[str]
