"""What an honest analyst would say beside the number."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..estimates import Estimate
from ..modeling.effects import EffectModel
from .answers import Answer
from .estimate import Averages
from .models import EffectRequest
from .plain import FEW_EVENTS, rare
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
    request: EffectRequest,
    asked: Question,
    found: Averages,
    model: EffectModel,
    table: pd.DataFrame,
    said: Answer,
    refutation: list[Estimate],
) -> list[str]:
    told = [
        *asked.notes, *_confounding(asked, found), *_lottery(asked, said), *_overlap(request, found),
        *_events(asked, found), *_rows(asked, found, table),
    ]  # fmt: skip
    if failed := [str(each.method) for each in refutation if each.verdict == "failed"]:
        told.append(f"refuted by {', '.join(failed)}: the covariates or the first stages do not bear this effect")
    if model.warnings:
        told.append("effect modifiers repeat each other: effects hold, their intervals by row do not")
    if request.estimator == "CausalForest":
        told.append("intervals of single rows held the truth in 77 to 89 % of simulations, not in 95 %")
    if request.cluster and request.effect_modifiers:
        told.append(f"intervals of single rows do not know that rows of one {request.cluster} belong together")
    return told


def _confounding(asked: Question, found: Averages) -> list[str]:
    skills = {stage.of: stage.skill for stage in found.chosen}
    poor = [of for of, skill in skills.items() if of != "treatment" and skill <= 0]
    if asked.randomised:
        return []
    if not asked.covered:
        return ["no covariates were given: this is no more than the naive difference"]
    said = []
    if found.by_chance:
        said.append(
            f"the covariates do not tell who was treated (skill {skills['treatment']:.3f}, within chance), as after "
            "randomisation; if it was not, hidden confounders may remain"
        )
    else:
        said.append("holds only if the covariates include everything that drives both treatment and outcome")
    if poor:
        said.append(f"the covariates tell nothing of the {', of the '.join(poor)} (skill at most 0)")
    return said


def _lottery(asked: Question, said: Answer) -> list[str]:
    if said.suspect is None:
        return []
    name, p = said.suspect
    return [f"{name} differs between the arms as a lottery hardly ever makes it (p = {p:.1g}): leave `randomised` out"]


def _events(asked: Question, found: Averages) -> list[str]:
    if found.sample is None:
        return []
    few = {name: rare(found.sample, arm) for arm, name in enumerate(asked.arms)}
    named = ", ".join(f"{count} rows of {name}" for name, count in few.items() if count is not None)
    return [f"the rarer outcome is that of {named}, under {FEW_EVENTS}: trust `difference`"] if named else []


def _overlap(request: EffectRequest, found: Averages) -> list[str]:
    seen = found.overlap
    if seen.verdict not in ("weak", "none") or seen.without_counterpart is None or seen.effective_share is None:
        return []
    said = f"overlap is {seen.verdict}: the weights amount to {seen.effective_rows} rows of one arm"
    if request.target == "treated":
        said = f"overlap is {seen.verdict}: few untreated rows are like the treated, about {seen.effective_rows}"
    alone = f", {seen.without_counterpart:.0%} of the rows have next to no counterpart" * (seen.without_counterpart > 0)
    more = "; estimand='treated' may ask for less" if request.target == "all" else ""
    return [f"{said} ({seen.effective_share:.1%}){alone}: the effect rests on extrapolation by the first stages{more}"]


def _rows(asked: Question, found: Averages, table: pd.DataFrame) -> list[str]:
    if found.overlap.verdict == "none":
        return ["the effect on each row is null: without overlap there is nothing to learn it from"]
    if wild := int(table["beyond_range"].sum()):
        return [f"{wild} effects by row exceed the range of the outcome (beyond_range): do not use these"]
    if not (table["lower"] < table["upper"]).any():
        return ["econml gave the intervals by row no width, so they say nothing"]
    return []
