"""What the training tools take and say."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, JsonValue

from ..modeling.card import Task

TaskChoice = Literal["auto", "classification", "regression"]


class TrainRequest(BaseModel):
    dataset: str
    target: str
    algorithm: str
    task: TaskChoice
    params: dict[str, JsonValue]
    features: list[str]
    exclude: list[str]
    validation: str
    run: str
    experiment: str
    seed: int


class Trained(BaseModel):
    """A trained model, logged in a run. Scores are on the training rows and, if given, the validation dataset."""

    model: str
    run: str
    algorithm: str
    task: Task
    features: list[str]
    classes: list[str] = []
    rows: int
    train: dict[str, float]
    validation: dict[str, float] | None = None
    fit_seconds: float
    notes: list[str] = []


class EvaluateRequest(BaseModel):
    model: str
    dataset: str
    metric: str
    log: bool


class Evaluation(BaseModel):
    """Scores on data the model should not have seen, beside those of a baseline that ignores the features.

    `interval` is a 95 % bootstrap interval over rows of the primary metric.
    """

    model: str
    dataset: str
    rows: int
    metric: str
    score: float
    interval: list[float] | None
    baseline: float | None
    metrics: dict[str, float]
    baseline_metrics: dict[str, float]
    notes: list[str] = []


class AlgorithmLine(BaseModel):
    """An algorithm: tasks, the library, its starting parameters and its default search space.

    `install` says how to get the library where it is missing.
    """

    name: str
    library: str
    tasks: list[str]
    defaults: dict[str, JsonValue]
    search_space: dict[str, JsonValue]
    install: str | None = None


class Algorithms(BaseModel):
    algorithms: list[AlgorithmLine]
