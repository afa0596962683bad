"""What the tuning tools take and say."""

from __future__ import annotations

from pydantic import BaseModel, JsonValue

from ..estimates import Statistic
from ..modeling.target import TaskChoice


class TuneRequest(BaseModel):
    dataset: str
    target: str
    algorithm: str
    validation: str
    folds: int
    search_space: dict[str, JsonValue]
    n_trials: int
    metric: str
    direction: str
    study: str
    features: list[str]
    exclude: list[str]
    treatment: str
    controls: list[str]
    experiment: str
    run: str
    seed: int
    task: TaskChoice = "auto"
    positive: str = ""
    group: str = ""
    time: str = ""


class Trial(BaseModel):
    number: int
    state: str
    value: float | None
    params: dict[str, JsonValue]
    seconds: float | None = None


class Tuned(BaseModel):
    """A finished search. `default_value` is the score of the algorithm's own parameters, tried first.

    `corrected_value` is best_value less its optimism, by the folds it was chosen on. Where the algorithm's own
    parameters are the best, `best_params` may be empty.
    """

    study: str
    algorithm: str
    metric: str
    direction: str
    task: str = ""
    positive: str | None = None
    scored_on: str
    best_value: float
    corrected_value: float | None = None
    best_params: dict[str, JsonValue]
    default_value: float | None
    trials: int
    pruned: int
    failed: int
    search_space: dict[str, str]
    importance: dict[str, float]
    run: str
    seconds: float
    notes: list[str] = []
    undo: str | None = None


class StudyLine(BaseModel):
    """A stored study in brief: its trials by state and the best value so far."""

    study: str
    algorithm: str | None
    metric: str | None
    direction: str
    states: dict[str, int]
    best_value: Statistic | None


class Study(BaseModel):
    """A stored study and its best trials."""

    study: str
    direction: str
    metric: str | None
    algorithm: str | None
    states: dict[str, int]
    best: Trial | None
    top: list[Trial]
    importance: dict[str, float]
