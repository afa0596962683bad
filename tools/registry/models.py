"""What the registry tools say."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from ..decisions import Decision
from ..estimates import Estimate, Statistic, Verdict
from ..modeling.card import Feature, Label, Task

Stage = Literal["None", "Staging", "Production", "Archived"]
GateName = Literal["validation", "load", "signature", "comparison", "drift"]


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
    undo: str | None = None


class StageChange(BaseModel):
    """A version went from one stage to another, by a tool of ours; `replaced` is the version it took the place of.

    `who` called the tool, if callers have names.
    """

    at: str
    version: int
    from_stage: Stage
    to_stage: Stage
    by: str
    who: str | None = None
    replaced: int | None = None


class LogRequest(BaseModel):
    model: str
    run: str
    name: str


class ImportRequest(BaseModel):
    """Either `model` or `path`; `target` and `classes` may be empty where they can be told."""

    model: str
    path: str
    preprocessor: str
    dataset: str
    target: str
    classes: list[str]
    run: str
    name: str


class LoggedModel(BaseModel):
    """A model logged in a run, and the version it was registered as, if it was."""

    model: str
    run: str
    algorithm: str
    task: Task
    features: list[str]
    classes: list[Label] = []
    registered: str | None = None
    undo: str | None = None


class ImportedModel(LoggedModel):
    """A model from elsewhere as one of ours. `source` stays as it is; `checked` says on which rows both agree."""

    target: str
    source: str
    checked: str
    notes: list[str] = []


class CheckResult(BaseModel):
    """Whether the model was loaded in a worker, and what it predicted for rows of its training data."""

    loaded: bool
    rows: int = 0
    predictions: list[Label] = []
    error: str | None = None


class ForeignModel(BaseModel):
    """A model that plain MLflow has logged, as it describes itself: `inputs` and `outputs` are types by name.

    `example` says whether rows were logged with it, `refused` why import_model does not take it.
    """

    source: str
    flavors: list[str]
    inputs: dict[str, str] = {}
    outputs: dict[str, str] = {}
    example: bool
    owner: str | None = None
    mlflow: str = ""
    files: list[str] = []
    refused: str | None = None


class RegisteredModel(BaseModel):
    """A registered model, and what the first of its versions takes and gives.

    That is the named one, else the one in Production, else the newest; the others follow, newest first. `omitted`
    counts those that are not shown, `history` holds the last changes of stage, newest first, and `notes` say why the
    version cannot be used. `foreign` is what can be told of one that was not made here.
    """

    name: str
    description: str
    versions: list[ModelVersion]
    omitted: int = 0
    history: list[StageChange] = []
    algorithm: str | None = None
    target: str | None = None
    classes: list[Label] = []
    inputs: list[Feature] = []
    check: CheckResult | None = None
    foreign: ForeignModel | None = None
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
    undo: str | None = None


class PromoteRequest(BaseModel):
    """`gates` are those that have to be passed; loading always has to."""

    name: str
    candidate: str
    dataset: str
    metric: str
    min_gain: float
    suite: str
    group: str
    gates: list[GateName]


class Gate(BaseModel):
    """One condition of a promotion, and what was found."""

    gate: GateName
    verdict: Verdict
    evidence: str


class Comparison(BaseModel):
    """The candidate against the version in Production on the same rows, or against the baseline where there is none.

    `gain` is how much better the candidate is: above zero is better, also of a metric that is minimised. Its baseline
    is the score of a model that looks at no feature.
    """

    against: str
    metric: str
    candidate_score: Statistic | None
    against_score: Statistic | None
    gain: Estimate


class Judged(BaseModel):
    """What promote_model found, as it is kept with a version."""

    at: str
    who: str | None = None
    dataset: str
    against: str | None = None
    verdict: Verdict
    gates: list[Gate]
    comparison: Comparison | None = None


class WhyThere(BaseModel):
    """Why a version is in its stage: who put it there, on what evidence, and what was decided about it.

    `by` is the tool and `who` its caller, if callers have names; `replaced` was there before; `judged` is the last
    judgement of promote_model, and `report` an artifact of `run` with all of it.
    """

    model: str
    stage: Stage
    since: str | None = None
    by: str | None = None
    who: str | None = None
    replaced: str | None = None
    judged: Judged | None = None
    run: str | None = None
    report: str | None = None
    decisions: list[Decision] = []
    notes: list[str] = []


class Promotion(BaseModel):
    """Whether a candidate was put into Production, and the evidence, which is kept on the version too.

    `before` was in Production until now, or still is; `report` is an artifact of the model's run.
    """

    model: str
    promoted: bool
    verdict: Verdict
    before: str | None
    comparison: Comparison | None = None
    gates: list[Gate]
    run: str | None = None
    report: str | None = None
    notes: list[str] = []
    undo: str | None = None
