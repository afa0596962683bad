"""The effect within segments, corrected for how many there are, and whether it varies at all.

In a segment it is the same doubly robust average over the rows in it. That the effect varies is tested by the best
linear projection of the doubly robust scores onto columns (Semenova, Chernozhukov, "Debiased machine learning of
conditional average treatment effects and other causal functions", 2021), with errors by cluster where there are any.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..estimates import Verdict
from .average import Contrast, Sample, contrast
from .models import Pair, Segment, Target, Variation
from .multiple import corrected
from .parts import Part, pairs, parts
from .plain import FEW_EVENTS, against, rare

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

# Rows, and clusters, that a segment needs of either arm.
MIN_ROWS, MIN_CLUSTERS = 10, 5
# A projection takes so many rows (or clusters) a column.
ROWS_A_COLUMN = 20
ALPHA = 0.05
# How alike two columns may be before they are one.
SAME = 1e-8


@dataclass(frozen=True)
class Compared:
    """The rows and contrasts of all arms; `names` are those of the arms, the untreated first."""

    sample: Sample
    contrasts: Sequence[Contrast]
    target: Target
    names: Sequence[str]


@dataclass(frozen=True)
class _Within:
    """One arm in one segment, with its contrast, or the reason why there is none."""

    part: Part
    arm: int
    sample: Sample
    found: Contrast | None
    reason: str | None = None

    @property
    def p(self) -> float | None:
        from scipy.stats import t

        if self.found is None or not self.found.error:
            return None
        return float(2 * t.sf(abs(self.found.effect) / self.found.error, self.found.freedom))


def segments(compared: Compared, by: pd.DataFrame) -> list[Segment]:
    """The effect of each arm in each segment of each column."""
    every = [
        _within(compared, part, arm)
        for arm in range(1, len(compared.names))
        for column in by
        for part in parts(by[column])
    ]
    p_values = corrected([one.p for one in every])
    return [Segment.model_validate(_said(one, compared, p)) for one, p in zip(every, p_values, strict=True)]


def strongest_pair(compared: Compared, by: pd.DataFrame) -> Pair | None:
    """The segment of two columns whose effect differs most surely from that of all other rows."""
    from scipy.stats import t

    cells = pairs([parts(by[column]) for column in by])
    every = []
    for arm in range(1, len(compared.names)):
        for part in cells:
            inside = _within(compared, part, arm)
            outside = _within(compared, Part(part.column, "", ~part.rows), arm)
            if inside.found and outside.found:
                gap = inside.found.effect - outside.found.effect
                error = (inside.found.population_error**2 + outside.found.population_error**2) ** 0.5
                freedom = min(inside.found.freedom, outside.found.freedom)
                every.append((float(2 * t.sf(abs(gap) / error, freedom)) if error else 1.0, inside))
    if not every:
        return None
    place = min(range(len(every)), key=lambda place: every[place][0])
    said = _said(every[place][1], compared, corrected([one.p for _, one in every])[place])
    return Pair.model_validate(said | {"p_differs": corrected([p for p, _ in every])[place]})


def variation(compared: Compared, by: pd.DataFrame, modifiers: np.ndarray | None) -> list[Variation]:
    """Whether the effect varies with each column of `by` or, if there are none, with the modifiers together."""
    import numpy as np

    tested: list[tuple[str, np.ndarray]] = [
        (str(column), np.column_stack([part.rows for part in parts(by[column])][1:] or [np.zeros(len(by))]))
        for column in by
    ]
    if not tested and modifiers is not None:
        tested = [("effect_modifiers", modifiers)]
    named = [(name, each, arm) for arm, each in enumerate(compared.contrasts, 1) for name, _ in tested]
    found = [projection(each, columns, compared.sample) for each in compared.contrasts for _, columns in tested]
    several = len(compared.contrasts) > 1
    return [
        Variation(
            column=f"{name}, {compared.names[arm]}" if several else name,
            p=p,
            p_corrected=adjusted,
            verdict=_verdict(adjusted),
            reason="too few rows for so many columns, or nothing that varies" if p is None else None,
        )
        for (name, _, arm), p, adjusted in zip(named, found, corrected(found), strict=True)
    ]


def projection(found: Contrast, columns: np.ndarray, sample: Sample) -> float | None:
    """The p value of no effect of any column on the scores; None if there are too few rows for it.

    Args:
        columns: shape (rows, columns), without a constant.
    """
    import numpy as np
    from scipy.stats import f

    inputs = _independent(columns.astype(float), found.shares)
    units = len(inputs) if sample.groups is None else int(sample.groups.max()) + 1
    width = inputs.shape[1]
    if width < 2 or units < ROWS_A_COLUMN * (width - 1):
        return None
    bread = np.linalg.inv((inputs * found.shares[:, None]).T @ inputs)
    slopes = bread @ inputs.T @ found.scores
    if sample.groups is None:
        sums = inputs * (found.scores - found.shares * (inputs @ slopes))[:, None]
        spread = (bread @ (sums.T @ sums) @ bread)[1:, 1:] * units / (units - width)
    else:
        spread = _jackknife(inputs, found, sample.groups, slopes)[1:, 1:]
    statistic = float(slopes[1:] @ np.linalg.solve(spread, slopes[1:])) / (width - 1)
    return float(f.sf(statistic, width - 1, units - width))


def _jackknife(inputs: np.ndarray, found: Contrast, groups: np.ndarray, slopes: np.ndarray) -> np.ndarray:
    """The covariance of slopes by leaving out each cluster: that of sums over clusters is too small for few of them.

    Bell & McCaffrey (2002, Survey Methodology 28), MacKinnon, Nielsen & Webb (2023, Journal of Econometrics 232).
    """
    import numpy as np

    weighted = inputs * found.shares[:, None]
    whole, right = weighted.T @ inputs, inputs.T @ found.scores
    count, apart = int(groups.max()) + 1, list[np.ndarray]()
    for group in range(count):
        rows = groups == group
        left = whole - weighted[rows].T @ inputs[rows]
        apart.append(np.linalg.lstsq(left, right - inputs[rows].T @ found.scores[rows], rcond=None)[0] - slopes)
    away = np.array(apart)
    spread: np.ndarray = (count - 1) / count * away.T @ away
    return spread


def _within(compared: Compared, part: Part, arm: int) -> _Within:
    kept = compared.sample.take(part.rows)
    if reason := _too_few(kept, arm):
        return _Within(part, arm, kept, None, reason)
    return _Within(part, arm, kept, contrast(kept, arm, compared.target))


def _too_few(kept: Sample, arm: int) -> str | None:
    import numpy as np

    for one in (0, arm):
        rows = kept.arms == one
        whose = "treated" if one else "untreated"
        if rows.sum() < MIN_ROWS:
            return f"{rows.sum()} rows {whose}, of {MIN_ROWS} needed"
        if kept.groups is not None and len(np.unique(kept.groups[rows])) < MIN_CLUSTERS:
            return f"{len(np.unique(kept.groups[rows]))} clusters {whose}, of {MIN_CLUSTERS} needed"
        if (fewest := rare(kept, one)) is not None:
            return f"{fewest} rows {whose} have the rarer outcome, of {FEW_EVENTS} needed"
    return None


def _said(one: _Within, compared: Compared, p: float | None) -> dict[str, object]:
    means = [
        float(one.sample.outcome[rows].mean()) if rows.any() else None
        for rows in (one.sample.arms == 0, one.sample.arms == one.arm)
    ]
    width = one.found is not None and one.found.error > 0
    interval = one.found.interval() if one.found and width else None
    return {
        "column": one.part.column, "segment": one.part.name, "arm": compared.names[one.arm], "n": len(one.sample.arms),
        "untreated": means[0], "treated": means[1], "value": one.found.effect if one.found else None,
        "interval": interval, "p": p,
        "verdict": "not_evaluated" if p is None else against(0.0, interval) if p < ALPHA else "not_distinguishable",
        "reason": one.reason or (None if width else "the outcome is the same in all rows of an arm"),
    }  # fmt: skip


def _verdict(p: float | None) -> Verdict:
    if p is None:
        return "not_evaluated"
    return "above_baseline" if p < ALPHA else "not_distinguishable"


def _independent(columns: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """A constant and the columns that do not repeat others, of mean 0 and spread 1 where the effect is sought."""
    import numpy as np
    from scipy.linalg import qr

    weights = shares / shares.sum()
    centred = columns - weights @ columns
    spread = np.sqrt(weights @ centred**2)
    known = centred[:, spread > SAME] / spread[spread > SAME]
    if not known.shape[1]:
        return np.ones((len(columns), 1))
    found: Any = qr(known * np.sqrt(weights)[:, None], mode="economic", pivoting=True)
    _, upper, order = found
    kept = np.sort(order[: int((np.abs(np.diag(upper)) > SAME**0.5).sum())])
    return np.column_stack([np.ones(len(columns)), known[:, kept]])
