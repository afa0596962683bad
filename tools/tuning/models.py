"""What the tuning tools take and say."""

from __future__ import annotations

from pydantic import BaseModel, JsonValue

from ..estimates import Estimate, Statistic
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


class CompareRequest(BaseModel):
    dataset: str
    target: str
    candidates: list[JsonValue]
    metric: str = ""
    folds: int = 5
    repeats: int = 2
    tune_trials: int = 0
    test: str = ""
    task: TaskChoice = "auto"
    positive: str = ""
    group: str = ""
    time: str = ""
    features: list[str] = []
    exclude: list[str] = []
    experiment: str = ""
    seed: int = 0


class Contender(BaseModel):
    """One candidate. The verdict of its score is against the baseline, which uses no features.

    `std` is the spread over folds; `folds` (null: undefined there) and `tuned` (what each fold's own search found) are
    told by get_comparison of one candidate. `error` says why it could not be scored.
    """

    candidate: str
    params: dict[str, JsonValue] = {}
    score: Estimate | None = None
    std: Statistic | None = None
    seconds: Statistic = 0.0
    folds: list[Statistic | None] = []
    tuned: list[dict[str, JsonValue]] = []
    error: str | None = None


class Pair(BaseModel):
    """The score of the first less that of the second, and whether the first is better, by `p_holm`.

    `p_holm` is the p value of no difference, raised since there are many pairs; each interval stands for itself.
    """

    first: str
    second: str
    difference: Estimate
    p_holm: Statistic | None = None


class Comparison(BaseModel):
    """Candidates on the same rows, best first. `winner` is better than every other one beyond doubt, else null."""

    comparison: str
    metric: str
    direction: str
    task: str
    positive: str | None = None
    scored_on: str
    rows: int
    winner: str | None = None
    candidates: list[Contender]
    pairs: list[Pair] = []
    omitted_pairs: int = 0
    run: str = ""
    seconds: Statistic
    notes: list[str] = []
    undo: str | None = None
