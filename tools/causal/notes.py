"""What an honest analyst would say beside the number."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..modeling.effects import EffectModel
from .estimate import Averages
from .models import EffectRequest
from .question import Question

if TYPE_CHECKING:
    import pandas as pd


def estimand(request: EffectRequest, asked: Question) -> str:
    if not asked.arms:
        return f"average effect of one unit more of {request.treatment} (LinearDML)"
    whom = "all rows (ATE)" if request.target == "all" else "the treated rows (ATT)"
    return f"average effect over {whom}, by AIPW"


def compares(asked: Question) -> str:
    if not asked.arms:
        return f"{asked.treatment.column} against one unit less"
    named = [f"{arm} ({size} rows)" for arm, size in zip(asked.arms, asked.sizes, strict=True)]
    return f"{asked.treatment.column}: {', '.join(named[1:])} against {named[0]}"


def notes(
    request: EffectRequest, asked: Question, found: Averages, model: EffectModel, table: pd.DataFrame
) -> list[str]:
    said = [*asked.notes, *_confounding(asked, found), *_overlap(request, found), *_rows(asked, found, table)]
    if model.warnings:
        said.append("effect modifiers repeat each other: effects hold, their intervals by row do not")
    if request.estimator == "CausalForest":
        said.append("intervals of single rows held the truth in 77 to 89 % of simulations, not in 95 %")
    if request.group and request.effect_modifiers:
        said.append(f"intervals of single rows do not know that rows of one {request.group} belong together")
    return said


def _confounding(asked: Question, found: Averages) -> list[str]:
    if not asked.card.features and not asked.treatment.controls:
        return ["no covariates were given: this is no more than the naive difference"]
    skills = {stage.of: stage.skill for stage in found.chosen}
    said = []
    if found.by_chance:
        said.append(
            f"the covariates do not tell who was treated (skill {skills['treatment']:.3f}, within chance), as after "
            "randomisation; if it was not, hidden confounders may remain"
        )
    else:
        said.append("holds only if the covariates include everything that drives both treatment and outcome")
    if poor := [of for of, skill in skills.items() if of != "treatment" and skill <= 0]:
        said.append(f"the covariates tell nothing of the {', of the '.join(poor)} (skill at most 0)")
    return said


def _overlap(request: EffectRequest, found: Averages) -> list[str]:
    seen = found.overlap
    if seen.verdict not in ("weak", "none") or seen.without_counterpart is None or seen.effective_share is None:
        return []
    said = f"overlap is {seen.verdict}: the weights amount to {seen.effective_rows} rows of one arm"
    if request.target == "treated":
        said = f"overlap is {seen.verdict}: few untreated rows are like the treated, about {seen.effective_rows}"
    alone = f", {seen.without_counterpart:.0%} of the rows have next to no counterpart" * (seen.without_counterpart > 0)
    more = "; target='treated' may ask for less" if request.target == "all" else ""
    return [f"{said} ({seen.effective_share:.1%}){alone}: the effect rests on extrapolation by the first stages{more}"]


def _rows(asked: Question, found: Averages, table: pd.DataFrame) -> list[str]:
    if found.overlap.verdict == "none":
        return ["the effect on each row is null: without overlap there is nothing to learn it from"]
    if wild := int(table["beyond_range"].sum()):
        return [f"{wild} effects by row exceed the range of the outcome (beyond_range): do not use these"]
    if not (table["lower"] < table["upper"]).any():
        return ["econml gave the intervals by row no width, so they say nothing"]
    return []
