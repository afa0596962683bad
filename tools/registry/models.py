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
    """Either `model`, or `path` with `dataset` and `target`; a model of MLflow alone needs both as well."""

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
    """Whether the model was loaded in a worker, and what it predicted for rows of its training data."""

    loaded: bool
    rows: int = 0
    predictions: list[Label] = []
    error: str | None = None


class RegisteredModel(BaseModel):
    """A registered model, and what the first of its versions takes and gives.

    That is the named one, else the one in Production, else the newest; the others follow, newest first. `omitted`
    counts those that are not shown, `notes` say why the version cannot be used.
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
    notes: list[str] = []


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
