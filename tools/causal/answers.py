"""What is said of an average effect, and of the rows that it comes of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypedDict

from ..estimates import Estimate
from ..modeling.effects import EffectModel
from .average import Contrast, Sample
from .balance import balance, unlike_a_lottery
from .estimate import Averages, per_unit
from .models import ArmEffect, ArmMean, Balance, Interval, Pair, Segment, Sensitivity, Target, Variation
from .plain import against, arm_mean, difference, is_rate, lift
from .question import Question
from .segments import Compared, segments, strongest_pair, variation
from .sensitivity import sensitivities

if TYPE_CHECKING:
    import pandas as pd


class OfOneArm(TypedDict):
    population_interval: Interval | None
    difference: Estimate | None
    lift: Estimate | None
    sensitivity: Sensitivity | None


@dataclass(frozen=True)
class Answer:
    """Of an amount there is only an effect; of several arms none, but `arms`.

    `suspect` is a covariate that differs between the arms of a treatment that was said to be drawn by lot, with the p
    value of such a difference.
    """

    effect: Estimate | None
    arms: list[ArmEffect] = field(default_factory=list)
    means: list[ArmMean] = field(default_factory=list)
    balance: Balance | None = None
    heterogeneity: list[Variation] = field(default_factory=list)
    segments: list[Segment] = field(default_factory=list)
    strongest_pair: Pair | None = None
    suspect: tuple[str, float] | None = None

    @property
    def one(self) -> OfOneArm:
        """The fields of the only arm; null if there are several or none."""
        if len(self.arms) != 1:
            return {"population_interval": None, "difference": None, "lift": None, "sensitivity": None}
        arm = self.arms[0]
        return {
            "population_interval": arm.population_interval, "difference": arm.difference, "lift": arm.lift,
            "sensitivity": arm.sensitivity,
        }  # fmt: skip


def answer(asked: Question, found: Averages, model: EffectModel, target: Target, threads: int) -> Answer:
    if found.sample is None:
        return Answer(_of_amount(asked, found, model, threads))
    sample, rows = found.sample, asked.rows
    arms, covariates = arm_effects(asked, found, sample, target), _covariates(asked)
    compared = Compared(sample, found.contrasts, target, asked.arms)
    modifiers = model.inputs(rows.modifiers) if asked.card.features else None
    return Answer(
        effect=arms[0].effect if len(arms) == 1 else None,
        arms=arms,
        means=[arm_mean(sample, arm, name) for arm, name in enumerate(asked.arms)],
        balance=balance(sample, found.contrasts, covariates, weighted=not asked.randomised),
        heterogeneity=variation(compared, asked.by, modifiers),
        segments=segments(compared, asked.by),
        strongest_pair=strongest_pair(compared, asked.by),
        suspect=unlike_a_lottery(sample, covariates) if asked.randomised else None,
    )


def arm_effects(asked: Question, found: Averages, sample: Sample, target: Target) -> list[ArmEffect]:
    """Each arm against the untreated, adjusted and plain."""
    rows, lifts = len(sample.arms), [lift(each, len(sample.arms)) for each in found.contrasts]
    hidden: list[Sensitivity] | list[None] = [None] * len(lifts)
    if asked.covered and not asked.randomised:
        hidden = sensitivities(sample, found.contrasts, lifts, target)
    return [
        ArmEffect(
            arm=asked.arms[arm], rows=asked.sizes[arm], effect=_adjusted(each, sample, rows),
            population_interval=each.population_interval(), difference=difference(sample, arm), lift=share,
            sensitivity=strength,
        )
        for arm, (each, share, strength) in enumerate(zip(found.contrasts, lifts, hidden, strict=True), start=1)
    ]  # fmt: skip


def _adjusted(found: Contrast, sample: Sample, rows: int) -> Estimate:
    positives = int(sample.outcome.sum()) if is_rate(sample.outcome) else None
    if not found.error:
        return Estimate(
            value=found.effect, baseline=0.0, n=rows, positives=positives, verdict="not_evaluated",
            reason="the outcome varies with nothing but the treatment, so no interval",
        )  # fmt: skip
    return Estimate(
        value=found.effect, interval=found.interval(), baseline=0.0, n=rows, positives=positives,
        method="95 % AIPW, t" + ("" if sample.groups is None else " by cluster"),
        verdict=against(0.0, found.interval()),
    )  # fmt: skip


def _of_amount(asked: Question, found: Averages, model: EffectModel, threads: int) -> Estimate:
    effect, bounds = per_unit(asked, found, model, threads)
    return Estimate(
        value=effect, interval=bounds, method="95 % LinearDML", baseline=0.0, n=len(asked.rows.places),
        verdict=against(0.0, bounds),
    )  # fmt: skip


def _covariates(asked: Question) -> pd.DataFrame:
    import pandas as pd

    return pd.concat([asked.rows.modifiers, asked.rows.controls], axis=1)
