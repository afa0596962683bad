"""What the causal tools take and say."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, JsonValue

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


class Overlapping(BaseModel):
    """Could every row have been treated or not? Quantiles of the estimated chance of treatment."""

    verdict: Overlap
    propensity: dict[str, float] = {}
    outside_5_95: float | None = None


class Effect(BaseModel):
    """The average effect of the treatment with its 95 % interval, beside the naive difference of means.

    For a continuous treatment the effect is per unit. `effects` is a dataset with the effect of each row,
    `model` the fitted estimator for evaluate_model and explain_model.
    """

    treatment: str
    outcome: str
    estimator: Estimator
    rows: int
    treated: float | None
    effect: float
    interval: list[float]
    naive_difference: float | None
    effect_quantiles: dict[str, float]
    effects: str
    model: str
    run: str
    overlap: Overlapping
    first_stage: dict[str, float]
    notes: list[str]
