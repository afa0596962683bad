"""Attempts to refute an average effect (Sharma, Kiciman, "DoWhy: an end-to-end library for causal inference", 2020).

A treatment dealt out at random must have no effect, a confounder drawn at random must not move it, and random subsets
must have the same. The first stages are those that were chosen, fitted again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from ..estimates import Estimate, Verdict
from ..modeling.folds import numbered
from .average import Contrast, kinds_of_groups
from .estimate import Averages, averages, covariates
from .models import Target
from .question import Question
from .stages import POOLED, arm_folds

if TYPE_CHECKING:
    import numpy as np

TIMES = 5
# Beyond so many of the standard errors that are due, a single answer is odd; one odd answer of five is chance.
REACH, CHANCE = 1.96, 1
# The square root of the share of the rows that a subset lacks.
LACKING = 0.2**0.5
# What a random confounder may move, in standard errors.
MOVED = 0.5


def refuted(asked: Question, found: Averages, target: Target, threads: int) -> list[Estimate]:
    """Three lines for each arm: what is expected is the baseline, and the value the mean of what was found."""
    import numpy as np

    random = np.random.default_rng(asked.card.seed)
    only = {stage.model.removesuffix(POOLED) for stage in found.chosen}

    def again(one: Question, columns: np.ndarray | None = None) -> list[Contrast]:
        return averages(one, target, threads, only, columns).contrasts

    placebos = [again(one) for one in _placebos(asked, random)]
    columns = covariates(asked)
    shifted = [again(asked, np.column_stack([columns, random.normal(size=len(columns))])) for _ in range(TIMES)]
    subsets = [again(one) for one in _subsets(asked)]
    made = []
    for arm, effect in enumerate(found.contrasts):
        name = f" ({asked.arms[arm + 1]})" if len(found.contrasts) > 1 else ""
        n = len(asked.rows.places)
        made += [
            line(f"placebo treatment{name}", [each[arm] for each in placebos], 0.0, 1.0, n),
            line(f"random common cause{name}", [each[arm] for each in shifted], effect.effect, MOVED / REACH, n),
            line(f"subsets of 80 %{name}", [each[arm] for each in subsets], effect.effect, LACKING, n),
        ]
    return made


def line(name: str, found: list[Contrast], expected: float, share: float, n: int) -> Estimate:
    """Args: `share` is how much of its own standard error an answer may be off by."""
    odd = sum(abs(each.effect - expected) > REACH * share * each.error for each in found)
    verdict: Verdict = "passed" if odd <= CHANCE else "failed"
    return Estimate(
        value=sum(each.effect for each in found) / len(found), method=f"{name}, mean of {len(found)}",
        baseline=expected, n=n, verdict=verdict,
        reason=f"{odd} of {len(found)} are further from the baseline than chance allows" if odd else None,
    )  # fmt: skip


def _placebos(asked: Question, random: np.random.Generator) -> Iterator[Question]:
    """Treatments in another order: those of whole clusters where these were treated as a whole."""
    import numpy as np

    arms, groups = asked.rows.treatment, asked.groups
    whole = None if groups is None else kinds_of_groups(arms, groups)
    for _ in range(TIMES):
        dealt = random.permutation(arms)
        if whole is not None and groups is not None and len(np.unique(whole)) > 1:
            dealt = random.permutation(whole)[groups]
        yield replace(asked, rows=replace(asked.rows, treatment=dealt))


def _subsets(asked: Question) -> Iterator[Question]:
    """Four fifths of the rows, or of the clusters, each leaving out another fifth."""
    for kept, _ in arm_folds(asked.rows.treatment, asked.groups, asked.card.seed + 1):
        groups = None if asked.groups is None else numbered(asked.groups[kept])
        yield replace(asked, rows=asked.rows.take(kept), groups=groups)
