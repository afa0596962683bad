"""From a request to rows: what is compared with what, in which rows, adjusted for which columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..data.identity import decided_by
from ..data.store import Dataset
from ..errors import ToolFailure
from ..modeling.arms import guessed, left_out, show
from ..modeling.bounds import require_size, require_spread
from ..modeling.card import ModelCard, Treatment
from ..modeling.effects import EffectRows, effect_card, effect_rows, rare_rows, treatment_of
from ..modeling.frame import TIMES, choose_features, number
from .models import EffectRequest

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

# Standard errors by fewer groups are too small: Cameron, Miller, "A practitioner's guide to cluster-robust
# inference", 2015.
MIN_GROUPS, MIN_ARM_GROUPS, FEW_GROUPS = 10, 5, 30
# Columns of segments, each of which is another test to correct for.
MOST_COLUMNS = 8


@dataclass(frozen=True)
class Question:
    """The card and the rows of a request.

    `groups` numbers the cluster of each row; `by` are the columns of the segments that were asked for, with the index
    of the rows. `randomised` says that the treatment was drawn by lot, whatever the covariates.
    """

    card: ModelCard
    rows: EffectRows
    groups: np.ndarray | None
    by: pd.DataFrame
    notes: list[str]
    randomised: bool = False

    @property
    def treatment(self) -> Treatment:
        return treatment_of(self.card)

    @property
    def arms(self) -> list[str]:
        """The names of the levels; none if the treatment is an amount."""
        return [show(level) for level in self.treatment.levels]

    @property
    def covered(self) -> bool:
        """Whether there is anything to adjust for."""
        return bool(self.card.features or self.treatment.controls)

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
        request.controls, request.params, request.seed, request.control, request.target == "unit",
    )  # fmt: skip
    treatment = treatment_of(card)
    if not treatment.discrete:
        _require_arms(request)
    source.require(request.by)
    values = frame[request.treatment]
    few = left_out(values, treatment)
    rows = effect_rows(frame.assign(**{request.treatment: values.mask(few)}), card)
    require_size(request.outcome, rows.outcome)
    if rows.outcome.min() == rows.outcome.max():
        raise ToolFailure(f"{request.outcome} is the same in every row", "There is nothing to explain.")
    require_spread(request.outcome, rows.outcome)
    groups = _groups(frame, request, source, rows) if request.cluster else None
    notes = [*_dropped(rows, values[few]), *_arms(request, treatment), *_missing(rows), *_rare(rows)]
    if groups is not None and groups.max() < FEW_GROUPS:
        notes.append(f"{groups.max() + 1} clusters are few: the interval is a rough one")
    if groups is None and treatment.discrete:
        notes += _by_cluster(frame.iloc[rows.places], request)
    return Question(card, rows, groups, _by(frame, request, rows), notes, request.randomised)


def _require_arms(request: EffectRequest) -> None:
    """Of an amount nobody is untreated, and its interval knows no clusters."""
    asked = {
        "estimand='treated'": request.target == "treated", "cluster": request.cluster, "segments": request.by,
        "randomised": request.randomised, "refute": request.refute,
    }  # fmt: skip
    if unmet := [name for name, given in asked.items() if given]:
        raise ToolFailure(
            f"{request.treatment} is an amount: nobody is untreated, and {', '.join(unmet)} need arms",
            "Leave these out, or cut the amount into arms with query_dataset.",
        )


def _by(frame: pd.DataFrame, request: EffectRequest, rows: EffectRows) -> pd.DataFrame:
    names = list(dict.fromkeys(request.by))
    if set(names) & {request.treatment, request.outcome}:
        raise ToolFailure("treatment and outcome cannot be segments", "Name columns known before the treatment.")
    if len(names) > MOST_COLUMNS:
        raise ToolFailure(f"{len(names)} columns in `segments`", f"Name at most {MOST_COLUMNS}.")
    for name in names:
        if frame[name].dtype.kind not in TIMES:
            feature = choose_features(frame, request.outcome, [name], [])[0][0]
            _ = number(frame[name]) if feature.kind == "number" else None
    return frame[names].iloc[rows.places].reset_index(drop=True)


def _groups(frame: pd.DataFrame, request: EffectRequest, source: Dataset, rows: EffectRows) -> np.ndarray:
    import numpy as np
    import pandas as pd

    source.require([request.cluster])
    if request.cluster in (request.treatment, request.outcome):
        raise ToolFailure("treatment and outcome cannot be clusters", "Name the column of what was drawn together.")
    known = frame[request.cluster].iloc[rows.places]
    if missing := int(known.isna().sum()):
        raise ToolFailure(
            f"{request.cluster} is missing in {missing} rows", "Name a complete column, or drop these by query_dataset."
        )
    codes = pd.factorize(known)[0]
    fewest = min(len(np.unique(codes[rows.treatment == arm])) for arm in np.unique(rows.treatment))
    if codes.max() + 1 < MIN_GROUPS or fewest < MIN_ARM_GROUPS:
        raise ToolFailure(
            f"{codes.max() + 1} clusters of {request.cluster}, {fewest} in one arm, are too few for an interval",
            f"It takes {MIN_GROUPS}, and {MIN_ARM_GROUPS} in each arm.",
        )
    return codes


def _by_cluster(frame: pd.DataFrame, request: EffectRequest) -> list[str]:
    """A note where whole groups of rows were treated although nobody said so."""
    # What a lottery of groups is adjusted for may name the groups; else it is what treatment depends on.
    covariates = [] if request.randomised else [*request.controls, *request.effect_modifiers]
    name, count = decided_by(frame, request.treatment, [request.outcome, *covariates], request.randomised)
    if not name:
        return []
    return [
        f"{request.treatment} is the same in all rows of each {name} ({count} of them in {len(frame)} rows): if whole "
        f"groups were treated, pass cluster={name!r}, else intervals are too narrow"
    ]


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
        return [
            f"each of the {len(levels)} values of {request.treatment} is an arm: estimand='unit' asks per unit of it"
        ]
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
