"""What the causal tools take and say."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, JsonValue

from ..estimates import Estimate, Statistic, Verdict

# Over all rows, over the treated ones, or of one unit more of an amount.
Target = Literal["all", "treated", "unit"]
Estimator = Literal["LinearDML", "CausalForest"]
Overlap = Literal["good", "weak", "none", "not_evaluated"]
Interval = tuple[Statistic, Statistic]


class EffectRequest(BaseModel):
    dataset: str
    treatment: str
    outcome: str
    estimator: Estimator
    effect_modifiers: list[str] = []
    controls: list[str] = []
    params: dict[str, JsonValue] = {}
    run: str = ""
    experiment: str = ""
    seed: int = 0
    target: Target = "all"
    control: str = ""
    cluster: str = ""
    by: list[str] = []
    randomised: bool = False
    refute: bool = False


class Overlapping(BaseModel):
    """Could every row have been treated or not? `propensity` are quantiles of the calibrated chance of treatment.

    `without_counterpart` is the share of the rows the effect is about that were next to never in one of the arms,
    `effective_rows` how many rows the weights of the worse arm amount to, and which share of its rows: 1 after
    randomisation.
    """

    verdict: Overlap
    propensity: dict[str, Statistic] = {}
    without_counterpart: Statistic | None = None
    effective_rows: int | None = None
    effective_share: Statistic | None = None


class FirstStage(BaseModel):
    """What was chosen by cross-validated loss, in the unit of the outcome (RMSE) or in nats (log-loss).

    `skill`: share of the squared error or log-loss of the mean, or of the shares of the arms, that it saves (out of
    fold, so R² of an outcome); 0 and below is none.
    """

    of: str
    model: str
    metric: Literal["rmse", "log_loss"]
    loss: Statistic
    skill: Statistic


class Imbalance(BaseModel):
    """The standardised mean difference of a covariate (of a level: `column=level`), also of weighted rows."""

    column: str
    before: Statistic
    after: Statistic | None


class Balance(BaseModel):
    """How alike the arms are: covariates whose standardised mean difference exceeds 0.1, and the `worst` of them."""

    covariates: int
    above_before: int
    above_after: int | None
    worst: list[Imbalance]


class ArmMean(Estimate):
    """The mean outcome of the rows of an arm: a rate where it is 0 or 1."""

    arm: str


class Sensitivity(BaseModel):
    """What a hidden confounder would need to explain the effect away, or (`_interval`) to let its interval reach 0.

    `robustness_value`: the share that it must explain of what is left of treatment and outcome. `e_value`: the risk
    ratio that it must have with both.
    """

    robustness_value: Statistic | None
    robustness_value_interval: Statistic | None
    e_value: Statistic | None
    e_value_interval: Statistic | None


class ArmEffect(BaseModel):
    """One arm against the untreated.

    `effect` is adjusted, its interval that of the average over these rows; `population_interval` is that over those
    they were drawn from. `difference` is that of the plain means; `lift` is the adjusted effect as a share of the mean
    that all would have untreated.
    """

    arm: str
    rows: int
    effect: Estimate
    population_interval: Interval
    difference: Estimate
    lift: Estimate
    sensitivity: Sensitivity | None = None


class Segment(BaseModel):
    """The effect (`value`, 95 % interval) on the rows of a segment, beside the plain mean of either arm in it.

    `p` is of no effect, corrected for all segments, and the verdict stands on it.
    """

    column: str
    segment: str
    arm: str
    n: int
    untreated: Statistic | None
    treated: Statistic | None
    value: Statistic | None
    interval: Interval | None
    p: Statistic | None
    verdict: Verdict
    reason: str | None = None


class Pair(Segment):
    """Of all pairs of columns the segment whose effect is least like that of the other rows; `p_differs` is of no
    difference, corrected for all that were looked at."""

    p_differs: Statistic


class Variation(BaseModel):
    """Whether the effect varies with a column: `above_baseline` if more than chance would have it."""

    column: str
    p: Statistic | None
    p_corrected: Statistic | None
    verdict: Verdict
    reason: str | None = None


class Effect(BaseModel):
    """The average effect of the treatment, what `estimand` says.

    Of one arm, `effect`, `population_interval`, `difference`, `lift` and `sensitivity` are as in ArmEffect; of several
    each has its own in `arms`. `effects` is a dataset with the effect on each row, `row` its number in the source;
    `model` is for evaluate_model and explain_model; `segments_dataset` holds all segments where there are too many.
    """

    treatment: str
    outcome: str
    estimator: Estimator
    estimand: str
    compares: str
    rows: int
    effect: Estimate | None
    population_interval: Interval | None
    difference: Estimate | None
    lift: Estimate | None
    means: list[ArmMean] = []
    arms: list[ArmEffect] = []
    heterogeneity: list[Variation] = []
    segments: list[Segment] = []
    strongest_pair: Pair | None = None
    segments_dataset: str | None = None
    effect_quantiles: dict[str, Statistic]
    effects: str
    model: str
    run: str
    overlap: Overlapping
    balance: Balance | None = None
    first_stage: list[FirstStage]
    sensitivity: Sensitivity | None = None
    refutation: list[Estimate] = []
    notes: list[str]
    undo: str | None = None
