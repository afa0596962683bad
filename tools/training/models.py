"""What the training tools take and say."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, JsonValue

from ..estimates import Estimate, Statistic
from ..modeling.card import Label, Task
from ..modeling.target import TaskChoice

Scores = dict[str, Statistic | None]


class TrainRequest(BaseModel):
    dataset: str
    target: str
    algorithm: str
    task: TaskChoice = "auto"
    params: dict[str, JsonValue] = {}
    features: list[str] = []
    exclude: list[str] = []
    validation: str = ""
    run: str = ""
    experiment: str = ""
    seed: int = 0
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
    classes: list[Label] = []
    rows: int
    train: Scores
    validation: Scores | None = None
    cross_validated: Scores | None = None
    folds: str | None = None
    fit_seconds: Statistic
    notes: list[str] = []
    undo: str | None = None


Show = Literal["intervals", "thresholds", "calibration"]


class EvaluateRequest(BaseModel):
    model: str
    dataset: str
    metric: str
    log: bool
    positive: str = ""
    group: str = ""
    show: list[Show] = []
    by: str = ""
    at: dict[str, float] = {}


class Threshold(BaseModel):
    """Rows with a score of at least `threshold` are flagged; `cost` is per row, in false alarms."""

    why: str
    threshold: Statistic
    flagged: Statistic
    precision: Statistic | None
    recall: Statistic | None
    specificity: Statistic | None
    f1: Statistic | None
    cost: Statistic | None = None


class CalibrationBin(BaseModel):
    n: int
    predicted: Statistic
    observed: Statistic
    interval: tuple[Statistic, Statistic]


class Calibration(BaseModel):
    """How far probabilities of the positive class are what happens.

    `slope` and `intercept` are of a logistic regression on the log-odds (Cox 1958; 1 and 0 are right; a slope below 1
    is overconfident). `ece` is the mean distance over `bins` of equal count. The Brier score is miscalibration minus
    discrimination plus uncertainty, by isotonic regression (CORP; Dimitriadis, Gneiting, Jordan 2021). `picture` is
    the resource with the reliability diagram, which is an artifact of the model's run.
    """

    slope: Estimate
    intercept: Estimate
    ece: Statistic
    brier: Statistic
    miscalibration: Statistic
    discrimination: Statistic
    uncertainty: Statistic
    bins: list[CalibrationBin]
    picture: str | None = None


class Slice(BaseModel):
    """The score on some rows, its interval at a level corrected for their number.

    `apart` compares it with the score on all other rows: its interval is that of the difference.
    """

    rows: str
    score: Estimate
    apart: Estimate


class Evaluation(BaseModel):
    """Scores on data the model should not have seen, beside those of a baseline that ignores the features.

    `score` is the primary metric; its verdict is above_baseline where it is better, whichever way the metric runs. What
    is undefined is null, and `reason` or a note says why. `trained_on` counts the rows that the model was trained on,
    null if that is not known. `estimates`, `thresholds`, `calibration` and `slices` are there if asked for; thresholds
    are chosen by these rows, so that they look a little better here than they are. The r_score of an effect model is
    how much better its effects fit than one for all (1 perfect, below 0 worse); it is small even for good models.
    """

    model: str
    dataset: str
    rows: int
    trained_on: int | None = None
    metric: str
    positive: str | None = None
    score: Estimate
    metrics: Scores
    baseline_metrics: Scores
    estimates: dict[str, Estimate] = {}
    thresholds: list[Threshold] = []
    calibration: Calibration | None = None
    slices: list[Slice] = []
    notes: list[str] = []
    undo: str | None = None


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
