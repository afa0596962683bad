"""What the tuning tools take and say."""

from __future__ import annotations

from pydantic import BaseModel, JsonValue


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


class Trial(BaseModel):
    number: int
    state: str
    value: float | None
    params: dict[str, JsonValue]
    seconds: float | None = None


class Tuned(BaseModel):
    """A finished search. `default_value` is the score of the algorithm's own parameters, tried first."""

    study: str
    algorithm: str
    metric: str
    direction: str
    scored_on: str
    best_value: float
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
