"""When a point is given up before it is scored on all parts: when it hardly can become the best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

# Before so many points have been scored in full it is not known how the parts differ.
FEWEST = 5
# The chance at most that a point which is given up would have become the best.
CHANCE = 0.01


@dataclass(frozen=True)
class Bars:
    """By the number of parts scored, less one, the mean that must be reached to go on; empty where nothing is known.

    Optuna's MedianPruner asks for the median of those that were not pruned, which rises until it gives up good ones.
    """

    maximize: bool
    means: tuple[float, ...] = ()

    def fails(self, scores: Sequence[float]) -> bool:
        """Whether a point with these scores on the first parts is given up."""
        if len(scores) > len(self.means):
            return False
        mean, bar = sum(scores) / len(scores), self.means[len(scores) - 1]
        return mean < bar if self.maximize else mean > bar


def bars_of(study: Study, parts: int) -> Bars:
    """What the points scored so far say: the best, less what the parts still to come may add to a mean.

    That is the prediction interval of one more point (Student's t) by the better half of them, which it would join.
    """
    import numpy as np
    from optuna.trial import TrialState
    from scipy.stats import t as student

    maximize = study.direction.name == "MAXIMIZE"
    complete = study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
    means = [[each.intermediate_values[step] for step in range(parts)] for each in complete if _whole(each, parts)]
    if parts < 2 or len(means) < FEWEST:
        return Bars(maximize)
    ranked = np.array(sorted(means, key=lambda each: each[-1], reverse=maximize))
    rest = ranked[:, -1:] - ranked[:, :-1]
    rest = rest[: max(FEWEST, len(rest) // 2)]
    count = len(rest)
    most = float(student.ppf(1 - CHANCE, count - 1)) * (1 + 1 / count) ** 0.5 * rest.std(axis=0, ddof=1)
    most = most if maximize else -most
    return Bars(maximize, tuple(map(float, ranked[0, -1] - rest.mean(axis=0) - most)))


def _whole(trial: FrozenTrial, parts: int) -> bool:
    return len(trial.intermediate_values) == parts
