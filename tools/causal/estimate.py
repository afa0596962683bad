"""The average effect and how it varies: average by AIPW or, of an amount, by double machine learning."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..modeling.effects import (
    EffectModel,
    confounders,
    fit_effect,
    per_row,
    stage_parameters,
    stages,
    unfitted,
)
from .average import LEVEL, Contrast, Sample, contrast
from .models import FirstStage, Overlapping, Target
from .overlap import overlap
from .question import Question
from .stages import (
    NO_COVARIATES,
    arm_folds,
    by_lot,
    outcome_candidates,
    outcome_stage,
    outcome_stages,
    plain_folds,
    treatment_candidates,
    treatment_stage,
)

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


@dataclass(frozen=True)
class Averages:
    """What holds on average. Of an amount there are no `sample`, which the contrasts are made of, and no contrasts.

    `first` are the unfitted models of outcome and treatment that won, for econml's estimators; `by_chance` says that
    the treatment follows the covariates no more than chance would have it.
    """

    first: tuple[Any, Any]
    chosen: list[FirstStage]
    by_chance: bool = False
    sample: Sample | None = None
    contrasts: list[Contrast] = field(default_factory=list)
    overlap: Overlapping = field(default_factory=lambda: Overlapping(verdict="not_evaluated"))


def averages(
    asked: Question,
    target: Target,
    threads: int,
    only: Collection[str] = (),
    columns: np.ndarray | None = None,
) -> Averages:
    """Choose first stages and, where there are arms, compare each with the untreated.

    Args:
        only: names of the candidates to choose from; all if empty.
        columns: the covariates as numbers; by default those of the question.
    """
    columns = covariates(asked) if columns is None else columns
    if not asked.arms:
        return _of_amount(asked, columns, threads)
    return _of_arms(asked, target, columns, _Offered(asked, only, columns.shape[1], threads))


@dataclass(frozen=True)
class _Offered:
    """The candidates for the first stages: what the caller has set takes the place of the choice, and without
    covariates there is none."""

    asked: Question
    only: Collection[str]
    width: int
    threads: int

    def of_outcome(self, rows: int) -> dict[str, Any]:
        return self._some("model_y", outcome_candidates(rows, self.width, self.asked.card.seed, self.threads))

    def of_treatment(self) -> dict[str, Any]:
        return self._some(
            "model_t", treatment_candidates(len(self.asked.rows.places), self.asked.card.seed, self.threads)
        )

    def of_amount(self, stage: str) -> dict[str, Any]:
        rows = len(self.asked.rows.places)
        return self._some(stage, outcome_candidates(rows, self.width, self.asked.card.seed, self.threads))

    def _some(self, stage: str, every: dict[str, Any]) -> dict[str, Any]:
        if stage_parameters(self.asked.card, stage):
            outcome, treatment = stages(self.asked.card)
            return {"boosting as given": outcome if stage == "model_y" else treatment}
        if not self.asked.covered:
            return {name: model for name, model in every.items() if name in NO_COVARIATES}
        return {name: model for name, model in every.items() if name in self.only} or every


def _of_arms(asked: Question, target: Target, columns: np.ndarray, offered: _Offered) -> Averages:
    import numpy as np

    rows = asked.rows
    spread = float(rows.outcome.std()) or 1.0
    folds = arm_folds(rows.treatment, asked.groups, asked.card.seed)
    of_treatment = (
        by_lot(rows.treatment)
        if asked.randomised
        else treatment_stage(offered.of_treatment(), columns, rows.treatment, folds)
    )
    of_outcome = outcome_stages(
        offered.of_outcome(min(asked.sizes)), columns, rows.outcome / spread, rows.treatment, folds
    )
    outcomes = np.column_stack([stage.predicted for stage in of_outcome]) * spread
    sample = Sample(rows.outcome, rows.treatment, outcomes, of_treatment.predicted, asked.groups)
    contrasts = [contrast(sample, arm, target) for arm in range(1, len(asked.arms))]
    said = [] if asked.randomised else [of_treatment.said("treatment", "log_loss")]
    said += [
        stage.said(f"outcome where {asked.treatment.column} = {arm}", "rmse", spread)
        for arm, stage in zip(asked.arms, of_outcome, strict=True)
    ]
    largest = of_outcome[int(np.argmax(asked.sizes))]
    verdict = overlap(sample, contrasts, target) if asked.covered else Overlapping(verdict="not_evaluated")
    return Averages((largest.model, of_treatment.model), said, not of_treatment.sure, sample, contrasts, verdict)


def _of_amount(asked: Question, columns: np.ndarray, threads: int) -> Averages:
    rows, offered = asked.rows, _Offered(asked, (), columns.shape[1], threads)
    folds = plain_folds(len(columns), asked.card.seed)
    spreads = [float(values.std()) or 1.0 for values in (rows.treatment, rows.outcome)]
    treatment, outcome = (
        outcome_stage(offered.of_amount(stage), columns, values / spread, folds)
        for stage, values, spread in zip(("model_t", "model_y"), (rows.treatment, rows.outcome), spreads, strict=True)
    )
    said = [treatment.said("treatment", "rmse", spreads[0]), outcome.said("outcome", "rmse", spreads[1])]
    return Averages((outcome.model, treatment.model), said, not treatment.sure)


def covariates(asked: Question) -> np.ndarray:
    """Modifiers and controls as numbers; one column of zeros if there are none."""
    import numpy as np

    found = confounders(asked.card, asked.rows)
    return np.zeros((len(asked.rows.places), 1)) if found is None else found


def fitted(asked: Question, found: Averages, threads: int) -> EffectModel:
    """The model of how the effect varies."""
    return fit_effect(asked.card, asked.rows, threads, found.first)


def per_unit(asked: Question, found: Averages, model: EffectModel, threads: int) -> tuple[float, tuple[float, float]]:
    """The average effect of one unit of an amount, always LinearDML's: a forest's own interval is far too wide."""
    card = asked.card.model_copy(update={"algorithm": "LinearDML", "params": _linear_params(asked, threads)})
    if card.algorithm != asked.card.algorithm:
        model = fit_effect(card, asked.rows, threads, found.first)
    inputs = model.inputs(asked.rows.modifiers)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        effect = model.scale * float(model.estimator.ate(inputs))
        low, high = (model.scale * float(bound) for bound in model.estimator.ate_interval(inputs, alpha=1 - LEVEL))
    return effect, (low, high)


def _linear_params(asked: Question, threads: int) -> dict[str, Any]:
    if asked.card.algorithm == "LinearDML":
        return dict(asked.card.params)
    return {key: value for key, value in asked.card.params.items() if "__" in key}


def by_row(asked: Question, found: Averages, model: EffectModel) -> pd.DataFrame:
    """Effect and 95 % interval on each row, by its number in the source and, of several, by arm.

    Effects that vary with nothing are the average. They are null where there is no overlap to learn them from, and
    marked where they reach beyond the range of the outcome.
    """
    import numpy as np
    import pandas as pd

    size = len(asked.rows.places)
    effect, lower, upper = _parts(asked, found, model)
    arms = effect.shape[1]
    table = pd.DataFrame({"row": np.tile(asked.rows.places, arms)})
    if arms > 1:
        table["arm"] = np.repeat(asked.arms[1:], size)
    for name, part in (("effect", effect), ("lower", lower), ("upper", upper)):
        table[name] = part.T.ravel() if found.overlap.verdict != "none" else np.nan
    return table.assign(beyond_range=table["effect"].abs() > np.ptp(asked.rows.outcome))


def _parts(asked: Question, found: Averages, model: EffectModel) -> Sequence[np.ndarray]:
    """Effect, lower and upper bound, each of shape (rows, contrasts)."""
    import numpy as np

    size = len(asked.rows.places)
    if found.contrasts and not asked.card.features:
        every = np.array([[each.effect, *each.interval()] for each in found.contrasts])
        return [np.tile(part, (size, 1)) for part in every.T]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        inference = model.estimator.const_marginal_effect_inference(model.inputs(asked.rows.modifiers))
        parts = (inference.point_estimate, *inference.conf_int(alpha=1 - LEVEL))
    return [model.scale * per_row(part, size).reshape(size, -1) for part in parts]


def check(asked: Question) -> None:
    """Refuse wrong parameters before the work."""
    unfitted(asked.card, 1)
