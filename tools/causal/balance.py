"""How alike the arms are in what is known of them, before and after rows are weighted by the chances of treatment.

Standardised mean differences as in Austin, "An introduction to propensity score methods", 2011.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from .average import Contrast, Sample
from .models import Balance, Imbalance
from .multiple import corrected
from .plain import plain_error

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

ALIKE = 0.1
SHOWN = 3
# Levels that are compared, of a text.
MOST_LEVELS = 20
# A lottery has differences as sure as this, corrected for how many are looked at, once in a hundred times.
LOTTERY = 0.01


def balance(sample: Sample, contrasts: Sequence[Contrast], covariates: pd.DataFrame, weighted: bool) -> Balance | None:
    """Of several arms the differences of the one that is least like the untreated; None without covariates."""
    made = [imbalance for name, values in columns(covariates) if (imbalance := _worst(sample, contrasts, name, values))]
    if not made:
        return None
    shown = sorted(made, key=lambda one: -max(abs(one.before), abs(one.after or 0)))[:SHOWN]
    if not weighted:
        shown = [one.model_copy(update={"after": None}) for one in shown]
    return Balance(
        covariates=len(made),
        above_before=sum(abs(one.before) > ALIKE for one in made),
        above_after=sum(abs(one.after or 0) > ALIKE for one in made) if weighted else None,
        worst=shown,
    )


def unlike_a_lottery(sample: Sample, covariates: pd.DataFrame) -> tuple[str, float] | None:
    """The covariate that differs most surely between an arm and the untreated, with its p value by Holm, where that is
    no chance."""
    from scipy.stats import t

    found = []
    for name, values in columns(covariates):
        for arm in range(1, int(sample.arms.max()) + 1):
            known = Sample(_filled(values), sample.arms, sample.outcomes, sample.chances, sample.groups)
            kept = known.take((known.arms == 0) | (known.arms == arm))
            error, freedom = plain_error(kept, arm)
            gap = float(kept.outcome[kept.arms == arm].mean() - kept.outcome[kept.arms == 0].mean())
            found.append((name, float(2 * t.sf(abs(gap) / error, freedom)) if error else 1.0))
    adjusted = [p or 0.0 for p in corrected([p for _, p in found])]
    worst = min(range(len(found)), key=adjusted.__getitem__) if found else None
    return (found[worst][0], adjusted[worst]) if worst is not None and adjusted[worst] < LOTTERY else None


def columns(covariates: pd.DataFrame) -> Iterator[tuple[str, np.ndarray]]:
    """Each number, each frequent level of a text, and whether a value is missing, by name."""
    for name in covariates:
        values = covariates[name]
        if missing := int(values.isna().sum()):
            yield f"{name} missing", values.isna().to_numpy(dtype=float)
        if missing == len(values):
            continue
        if values.dtype.kind in "iufb":
            yield str(name), values.to_numpy(dtype=float)
            continue
        for level in values.value_counts().index[:MOST_LEVELS]:
            yield f"{name}={level}", (values == level).to_numpy(dtype=float)


def _worst(sample: Sample, contrasts: Sequence[Contrast], name: str, values: np.ndarray) -> Imbalance | None:
    """None for what is the same in every row."""
    import numpy as np

    known = np.isfinite(values)
    every = []
    for arm, found in enumerate(contrasts, start=1):
        sides = [known & (sample.arms == arm), known & (sample.arms == 0)]
        if not all(side.any() for side in sides):
            continue
        spread = math.sqrt(sum(float(values[side].var()) for side in sides) / 2) or float(values[known].std())
        before = float(values[sides[0]].mean() - values[sides[1]].mean())
        after = float(np.subtract(*(np.average(values[side], weights=found.weights[side]) for side in sides)))
        if spread:
            every.append(Imbalance(column=name, before=before / spread, after=after / spread))
    return max(every, key=lambda one: abs(one.before), default=None)


def _filled(values: np.ndarray) -> np.ndarray:
    import numpy as np

    return np.where(np.isfinite(values), values, np.nanmean(values))
