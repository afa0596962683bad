"""What the training tools take and say."""

from __future__ import annotations

from pydantic import BaseModel, JsonValue

from ..modeling.card import Task
from ..modeling.target import TaskChoice

Scores = dict[str, float | None]


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
    positive: str = ""
    group: str = ""
    time: str = ""
    study: str = ""


class Trained(BaseModel):
    """A trained model, logged in a run; without a run it is kept here, and a note says why.

    `train` are scores on its own rows, so they say nothing about others. `validation` are those on the validation
    dataset; without one, `cross_validated` are means over `folds`. A score that is undefined is null. `positive` is the
    class that precision and recall are about.
    """

    model: str
    run: str | None = None
    algorithm: str
    task: Task
    positive: str | None = None
    features: list[str]
    classes: list[str] = []
    rows: int
    train: Scores
    validation: Scores | None = None
    cross_validated: Scores | None = None
    folds: str | None = None
    fit_seconds: float
    notes: list[str] = []
    undo: str | None = None


class EvaluateRequest(BaseModel):
    model: str
    dataset: str
    metric: str
    log: bool
    positive: str = ""
    group: str = ""


class Evaluation(BaseModel):
    """Scores on data the model should not have seen, beside those of a baseline that ignores the features.

    `interval` is that of the primary metric, `interval_method` its level and method. What is undefined is null, and
    a note says why. `trained_on` counts the rows that the model was trained on, null if that is not known.
    """

    model: str
    dataset: str
    rows: int
    trained_on: int | None = None
    metric: str
    positive: str | None = None
    score: float | None
    interval: list[float] | None
    interval_method: str | None = None
    baseline: float | None
    metrics: Scores
    baseline_metrics: Scores
    notes: list[str] = []


class AlgorithmLine(BaseModel):
    """An algorithm; `install` says how to get its library where it is missing.

    Of one that is asked for by name also its starting parameters and its default search space.
    """

    name: str
    library: str
    tasks: list[str]
    install: str | None = None
    defaults: dict[str, JsonValue] | None = None
    search_space: dict[str, JsonValue] | None = None


class Algorithms(BaseModel):
    algorithms: list[AlgorithmLine]


class ReproduceRequest(BaseModel):
    run: str


class Reproduction(BaseModel):
    """A model that was trained again from the same data, parameters and seed.

    `identical` says that every prediction of the training and validation rows is the same to the bit;
    `largest_difference` is the largest one of a probability or a number. `scores` are those that differ, before and
    now, and `differs` names libraries and machines that are not the same.
    """

    run: str
    again: str | None
    model: str
    identical: bool
    rows: int
    largest_difference: float
    scores: dict[str, list[float | None]] = {}
    differs: list[str] = []
    notes: list[str] = []
    undo: str | None = None
