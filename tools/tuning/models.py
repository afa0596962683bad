"""What the tuning tools take and say."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, JsonValue

from ..estimates import Estimate, Statistic
from ..modeling.target import TaskChoice


class EffectQuestion(BaseModel):
    """What an effect is of; `dose` says that a treatment of few numbers is an amount, not arms."""

    model_config = ConfigDict(extra="forbid")

    treatment: str = ""
    controls: list[str] = []
    dose: bool = False


class TuneRequest(BaseModel):
    dataset: str
    target: str
    algorithm: str
    folds: int
    n_trials: int
    validation: str = ""
    search_space: dict[str, JsonValue] = {}
    metric: str = ""
    study: str = ""
    features: list[str] = []
    exclude: list[str] = []
    experiment: str = ""
    seed: int = 0
    task: TaskChoice = "auto"
    positive: str = ""
    group: str = ""
    time: str = ""
    effect: EffectQuestion = EffectQuestion()
    refit: bool = False
    test: str = ""


class Trial(BaseModel):
    """`value` is the mean over `folds`, and `std` their spread; a study of several objectives has `values`."""

    number: int
    state: str
    value: Statistic | None
    values: list[Statistic | None] | None = None
    std: Statistic | None = None
    folds: list[Statistic] = []
    params: dict[str, JsonValue]
    seconds: Statistic | None = None


class Tuned(BaseModel):
    """A finished search. `default_value` is the score of the algorithm's own parameters, tried first.

    `corrected_value` is best_value less its optimism, by the folds it was chosen on; the verdict of `score` allows for
    the choice. Where the algorithm's own parameters are the best, `best_params` may be empty. The study had
    `trials_before`. `model` is refitted with best_params to all rows, `test` its score on rows it was not chosen by.
    """

    study: str
    algorithm: str
    metric: str
    direction: str
    task: str = ""
    positive: str | None = None
    scored_on: str
    best_value: Statistic
    corrected_value: Statistic | None = None
    score: Estimate | None = None
    best_folds: list[Statistic] = []
    best_params: dict[str, JsonValue]
    default_value: Statistic | None
    trials_before: int = 0
    trials: int
    pruned: int
    failed: int
    search_space: dict[str, str]
    importance: dict[str, Statistic]
    run: str
    model: str | None = None
    test: Estimate | None = None
    seconds: Statistic
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


class Tried(BaseModel):
    """The value of a trial, and the best of all until then."""

    number: int
    value: Statistic
    best: Statistic


class Study(BaseModel):
    """A stored study and its best trials; `history` in the order of the trials, where it was asked for."""

    study: str
    direction: str
    metric: str | None
    algorithm: str | None
    states: dict[str, int]
    best: Trial | None
    top: list[Trial]
    importance: dict[str, Statistic]
    history: list[Tried] | None = None


class CompareRequest(BaseModel):
    dataset: str
    target: str
    candidates: list[JsonValue]
    metric: str = ""
    folds: int = 5
    repeats: int = 2
    n_trials: int = 0
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
