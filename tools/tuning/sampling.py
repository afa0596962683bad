"""Where a search looks next, and how much better than the truth its best score is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial


def sampler(space: Mapping[str, BaseDistribution], seed: int) -> BaseSampler:
    """TPE over the whole space at once.

    Optuna looks for the parameters that all trials share, which are none once the algorithm's own, which have no point
    in the space, are a trial.
    """
    from optuna.samplers import TPESampler

    class OfSpace(TPESampler):  # type: ignore[misc]
        def infer_relative_search_space(self, study: Any, trial: Any) -> dict[str, BaseDistribution]:
            return {name: each for name, each in sorted(space.items()) if not each.single()}

    return OfSpace(seed=seed, multivariate=True)


def optimism(trials: Sequence[FrozenTrial], best: FrozenTrial, maximize: bool) -> float | None:
    """How much the best mean over folds exceeds its truth; None without folds.

    On each fold some trial is better than the one that is best on all: the mean of these gains (Tibshirani &
    Tibshirani 2009, Annals of Applied Statistics 3). It is rather too large than too small after many trials.
    """
    scored = [folds for trial in trials if trial.state.name == "COMPLETE" and (folds := by_fold(trial))]
    own = by_fold(best)
    if len(own) < 2 or len(scored) < 2:
        return None
    choose = max if maximize else min
    return sum(choose(each) for each in zip(*scored, strict=True)) / len(own) - sum(own) / len(own)


def by_fold(trial: FrozenTrial) -> list[float]:
    """The score on each fold, of which a trial reports the running means."""
    means = [trial.intermediate_values[step] for step in sorted(trial.intermediate_values)]
    return [mean * (step + 1) - (means[step - 1] * step if step else 0.0) for step, mean in enumerate(means)]
