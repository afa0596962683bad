"""What the causal tools take and say."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, JsonValue

Target = Literal["all", "treated"]
Estimator = Literal["LinearDML", "CausalForest"]
Overlap = Literal["good", "weak", "none", "not_evaluated"]


class EffectRequest(BaseModel):
    dataset: str
    treatment: str
    outcome: str
    effect_modifiers: list[str]
    controls: list[str]
    estimator: Estimator
    params: dict[str, JsonValue]
    name: str
    run: str
    experiment: str
    seed: int
    target: Target = "all"
    control: str = ""
    dose: bool = False
    group: str = ""


class Overlapping(BaseModel):
    """Could every row have been treated or not? `propensity` are quantiles of the calibrated chance of treatment.

    `without_counterpart` is the share of the rows the effect is about that were next to never in one of the arms,
    `effective_rows` how many rows the weights of the worse arm amount to, and which share of its rows: 1 after
    randomisation.
    """

    verdict: Overlap
    propensity: dict[str, float] = {}
    without_counterpart: float | None = None
    effective_rows: int | None = None
    effective_share: float | None = None


class FirstStage(BaseModel):
    """What was chosen by cross-validated loss. `skill`: share of the loss of the mean, or of the shares of the arms,
    that it saves; 0 and below is none."""

    of: str
    model: str
    skill: float


class ArmEffect(BaseModel):
    """One arm against the untreated."""

    arm: str
    rows: int
    effect: float
    interval: list[float]
    population_interval: list[float]
    naive_difference: float
    naive_interval: list[float]


class Effect(BaseModel):
    """The average effect of the treatment, what `estimand` says, beside the naive difference of means; 95 % intervals.

    `interval` is of the average over these rows, `population_interval` over those they were drawn from. Of several
    arms each has its own in `arms`. `effects` is a dataset with the effect on each row, `row` its number in the source;
    `model` is for evaluate_model and explain_model.
    """

    treatment: str
    outcome: str
    estimator: Estimator
    estimand: str
    compares: str
    rows: int
    treated: float | None
    effect: float | None
    interval: list[float] | None
    population_interval: list[float] | None
    naive_difference: float | None
    naive_interval: list[float] | None
    arms: list[ArmEffect] = []
    effect_quantiles: dict[str, float]
    effects: str
    model: str
    run: str
    overlap: Overlapping
    first_stage: list[FirstStage]
    notes: list[str]
