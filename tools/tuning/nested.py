"""A search inside the rows of a fit: those that a model is scored on say nothing about its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..errors import ToolFailure
from ..modeling.algorithms import algorithm
from ..modeling.card import ModelCard
from ..modeling.folds import FOLDS, folds, numbered
from ..modeling.metrics import Metric
from .objective import Cuts, PredictionObjective, Rows
from .sampling import sampler
from .space import read_space

if TYPE_CHECKING:
    import pandas as pd
    from optuna.trial import FrozenTrial


def searched(
    card: ModelCard, metric: Metric, frame: pd.DataFrame, rows: Rows, time: str, trials: int, seed: int, threads: int
) -> Mapping[str, Any]:
    """The best of so many points by folds of these rows; the algorithm's own parameters are the first.

    Args:
        frame: the rows as they lie in the dataset, for the column `time`.

    Raises:
        ToolFailure: too few rows to cut again, or no point can be fitted.
    """
    import optuna
    from optuna.trial import TrialState

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space = read_space({key: each for key, each in algorithm(card.algorithm).space.items() if key not in card.params})
    strata = rows.target if card.task == "classification" else None
    cut = folds(frame, strata, None if rows.units is None else numbered(rows.units), time, FOLDS, seed)
    objective = PredictionObjective(card, metric, Cuts.of_folds(rows, cut.pairs), threads)
    study = optuna.create_study(direction=metric.direction, sampler=sampler(space, seed))
    failure = ""
    for number in range(trials):
        trial = study.ask(dict(space)) if number else study.ask()
        try:
            values = list(objective.steps(trial.params))
        except ToolFailure as error:
            study.tell(trial, state=TrialState.FAIL)
            failure = str(error)
            continue
        study.tell(trial, sum(values) / len(values))
    if not study.get_trials(deepcopy=False, states=[TrialState.COMPLETE]):
        raise ToolFailure(f"no point of the search can be fitted: {failure}", "Narrow the search, or leave params out.")
    best: FrozenTrial = study.best_trial
    return best.params
