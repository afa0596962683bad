"""How a search has come to its best value: the trials in the order in which they were begun."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .models import Tried

if TYPE_CHECKING:
    from optuna.study import Study as OptunaStudy


def history(study: OptunaStudy, limit: int) -> list[Tried] | None:
    """Complete trials with the best value so far, at most `limit`, evenly chosen with the first and the last.

    None where none is wanted; empty where several objectives have no best.
    """
    if not limit:
        return None
    if len(study.directions) > 1:
        return []
    better = max if study.direction.name == "MAXIMIZE" else min
    found = list[Tried]()
    for number, value in _values(study):
        best = better(value, found[-1].best) if found else value
        found.append(Tried(number=number, value=value, best=best))
    return thinned(found, limit)


def thinned(found: Sequence[Tried], limit: int) -> list[Tried]:
    """So many, from the first to the last."""
    if len(found) <= limit:
        return list(found)
    if limit == 1:
        return [found[-1]]
    return [found[round(place * (len(found) - 1) / (limit - 1))] for place in range(limit)]


def _values(study: OptunaStudy) -> list[tuple[int, float]]:
    from optuna.trial import TrialState

    complete = study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
    values = [(trial.number, trial.value) for trial in complete]
    return sorted((number, value) for number, value in values if value is not None and abs(value) < float("inf"))
