"""From a request to rows: what is compared with what, in which rows, adjusted for which columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..data.store import Dataset
from ..errors import ToolFailure
from ..modeling.arms import guessed, left_out, show
from ..modeling.card import ModelCard, Treatment
from ..modeling.effects import EffectRows, effect_card, effect_rows, rare_rows, treatment_of
from .models import EffectRequest

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

# Standard errors by fewer groups are too small: Cameron, Miller, "A practitioner's guide to cluster-robust
# inference", 2015.
MIN_GROUPS, MIN_ARM_GROUPS = 10, 5


@dataclass(frozen=True)
class Question:
    """The card and the rows of a request; `groups` numbers the group of each row."""

    card: ModelCard
    rows: EffectRows
    groups: np.ndarray | None
    notes: list[str]

    @property
    def treatment(self) -> Treatment:
        return treatment_of(self.card)

    @property
    def arms(self) -> list[str]:
        """The names of the levels; none if the treatment is an amount."""
        return [show(level) for level in self.treatment.levels]

    @property
    def sizes(self) -> list[int]:
        import numpy as np

        return [int(size) for size in np.bincount(self.rows.treatment)] if self.arms else []


def question(request: EffectRequest, source: Dataset) -> Question:
    """Raises:
    ToolFailure: columns, values or arguments that make no question.
    """
    frame = source.frame()
    card = effect_card(
        source, frame, request.estimator, request.treatment, request.outcome, request.effect_modifiers,
        request.controls, request.params, request.seed, request.control, request.dose,
    )  # fmt: skip
    treatment = treatment_of(card)
    if not treatment.discrete and (request.target == "treated" or request.group):
        raise ToolFailure(
            f"{request.treatment} is an amount: nobody is untreated, and groups are not known to its interval",
            "Leave `target` and `group` out.",
        )
    values = frame[request.treatment]
    few = left_out(values, treatment)
    rows = effect_rows(frame.assign(**{request.treatment: values.mask(few)}), card)
    groups = _groups(frame, request, source, rows) if request.group else None
    notes = [*_dropped(rows, values[few]), *_arms(request, treatment), *_missing(rows), *_rare(rows)]
    return Question(card, rows, groups, notes)


def _groups(frame: pd.DataFrame, request: EffectRequest, source: Dataset, rows: EffectRows) -> np.ndarray:
    import numpy as np
    import pandas as pd

    source.require([request.group])
    known = frame[request.group].iloc[rows.places]
    if missing := int(known.isna().sum()):
        raise ToolFailure(f"{request.group} is missing in {missing} rows", "Name a column that is complete.")
    codes = pd.factorize(known)[0]
    fewest = min(len(np.unique(codes[rows.treatment == arm])) for arm in np.unique(rows.treatment))
    if codes.max() + 1 < MIN_GROUPS or fewest < MIN_ARM_GROUPS:
        raise ToolFailure(
            f"{codes.max() + 1} groups of {request.group}, {fewest} in one arm, are too few for an interval",
            f"It takes {MIN_GROUPS}, and {MIN_ARM_GROUPS} in each arm.",
        )
    return codes


def _dropped(rows: EffectRows, few: pd.Series) -> list[str]:
    counts = few.map(str).value_counts()
    named = ", ".join(f"{name} ({count})" for name, count in counts.head(5).items())
    notes = [f"arms of too few rows were left out: {named}"] if len(few) else []
    if lost := rows.dropped - len(few):
        notes.append(f"{lost} rows without treatment or outcome were dropped")
    return notes


def _arms(request: EffectRequest, treatment: Treatment) -> list[str]:
    levels = treatment.levels
    if treatment.several and isinstance(levels[0], float):
        return [f"each of the {len(levels)} values of {request.treatment} is an arm: dose=true asks per unit"]
    if levels and not request.control and guessed(levels):
        return [f"{show(levels[0])} was taken for untreated, being the first: `control` names another"]
    return []


def _missing(rows: EffectRows) -> list[str]:
    import pandas as pd

    counts = pd.concat([rows.modifiers, rows.controls], axis=1).isna().sum()
    named = ", ".join(f"{name} in {count}" for name, count in counts[counts > 0].head(5).items())
    if not named:
        return []
    return [f"confounders are missing ({named} of {len(rows.places)} rows) and only adjusted for as far as known"]


def _rare(rows: EffectRows) -> list[str]:
    import pandas as pd

    least, merged = rare_rows(len(rows.places)), []
    covariates = pd.concat([rows.modifiers, rows.controls], axis=1)
    for name in covariates.select_dtypes(exclude="number"):
        counts = covariates[name].value_counts()
        if (counts < least).sum() > 1:
            merged.append(f"{name}: {(counts < least).sum()} levels, {counts[counts < least].sum()} rows")
    return [f"levels of under {least} rows are not told apart ({', '.join(merged[:5])})"] if merged else []
