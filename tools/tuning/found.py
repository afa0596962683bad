"""What a study has found: its best point, how sure its score is, and which parameters mattered."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import ToolFailure
from ..estimates import AGAINST_BASELINE, Estimate
from ..modeling.guards import guarded
from ..modeling.paired import on_rows, over_folds, shown
from ..numbers import finite
from ..undo import deletes
from .models import Trial, Tuned
from .objective import Objective
from .sampling import by_fold, optimism
from .space import contains, describe
from .standings import positives, within
from .trials import DEFAULT, FAILURE, SECONDS

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.study import Study as OptunaStudy
    from optuna.trial import FrozenTrial

FEWEST_POINTS = 4
# A pruned point was worse than most on its first folds.
TRIED = ("COMPLETE", "PRUNED")
OPTIMISTIC = "best_value was searched for, so it is optimistic: `test` scores the refitted model on other rows"


@dataclass(frozen=True)
class Found:
    """A search as far as it has come.

    `before` counts the trials that the study had, `loaded` are the datasets that were loaded from files for it.
    """

    study: OptunaStudy
    objective: Objective
    space: Mapping[str, BaseDistribution]
    scored_on: str
    before: int
    notes: list[str]
    loaded: list[str]

    def told(self, run: str, seconds: float) -> Tuned:
        trials = self.study.get_trials(deepcopy=False)
        states = [trial.state.name for trial in trials]
        best, card = best_first(self.study)[0], self.objective.card
        less = optimism(trials, best, self.study.direction.name == "MAXIMIZE")
        return Tuned(
            study=f"study:{self.study.study_name}",
            algorithm=card.algorithm,
            metric=self.objective.metric.name,
            direction=self.study.direction.name.lower(),
            scored_on=self.scored_on,
            task=card.task,
            positive=card.positive,
            best_value=self.study.best_value,
            corrected_value=self.study.best_value - less if less is not None else None,
            score=self._score(by_fold(best)),
            best_folds=by_fold(best),
            best_params=best.params,
            default_value=trials[0].value,
            trials_before=self.before,
            trials=states.count("COMPLETE"),
            pruned=states.count("PRUNED"),
            failed=states.count("FAIL"),
            search_space={name: describe(distribution) for name, distribution in self.space.items()},
            importance={},
            run=run,
            seconds=round(seconds, 1),
            notes=[*self.notes, *self._of_trials(len(trials)), *_failed(trials), *self._of_best(best), OPTIMISTIC],
            undo=self.undo(run),
        )

    def undo(self, run: str, model: str | None = None) -> str | None:
        """Trials that were added to a study cannot be taken out again."""
        own = () if self.before else (f"study:{self.study.study_name}", run)
        made = [*filter(None, (model, *own, *self.loaded))]
        return deletes(*made) if made else None

    def judged(self) -> tuple[Estimate, list[str]]:
        """The best score, whether it is beyond doubt that it is not a guess's, and what is off about it.

        Asked of the rows of all parts, none of which was fitted on when it was scored, with the p value times the
        trials among which it was chosen (Bonferroni).
        """
        metric, best, card = self.objective.metric, best_first(self.study)[0], self.objective.card
        score = self._score(by_fold(best))
        try:
            told = self.objective.answers(best.params)
            assert told.baseline is not None
            found = on_rows(metric, told.truth, told.prediction, told.baseline, told.clusters)
        except ToolFailure as failure:
            return score.model_copy(update={"verdict": "not_evaluated", "reason": str(failure)}), []
        p = None if found.p is None else found.p * len(self.study.get_trials(deepcopy=False))
        gain = found.value if metric.direction == "maximize" else -found.value
        judged = score.model_copy(
            update={
                "n": len(told.truth),
                "positives": positives(told.truth, card.binary),
                "verdict": AGAINST_BASELINE[shown(p, gain)],
                "reason": score.reason or found.reason or None,
            }
        )
        off = guarded(
            card, told.truth, told.prediction, told.baseline, told.clusters, metric, told={metric.name: score.value}
        )
        where = "over folds" if self.objective.parts > 1 else "validation"
        return judged, [*_of_score(judged), *(f"{where}: {note}" for note in off)]

    def _score(self, scores: Sequence[float]) -> Estimate:
        baseline = [score for score in self.objective.baseline if score is not None]
        mean = over_folds(scores, self.objective.sizes)
        return Estimate(
            value=mean.value,
            interval=within(self.objective.metric, mean.bounds),
            method=mean.method or None,
            baseline=sum(baseline) / len(baseline) if baseline else None,
            n=self.objective.card.rows,
            reason=mean.reason or None,
        )

    def _of_trials(self, ended: int) -> list[str]:
        if self.before < ended:
            return []
        return [f"the study had {self.before} trials already, and n_trials is how many in all: pass more to go on"]

    def _of_best(self, best: FrozenTrial) -> list[str]:
        if best.user_attrs.get(DEFAULT):
            tried = [trial for trial in self.study.get_trials(deepcopy=False) if trial.state.name in TRIED]
            said = "no point was better than" if len(tried) > 1 else "no point was scored but"
            return [f"{said} the algorithm's own parameters, so best_params is empty"]
        if best.number and not contains(self.space, best.params):
            return ["best_params come from an earlier search of this study and lie outside of this search space"]
        return []


def _failed(trials: Sequence[FrozenTrial]) -> list[str]:
    """How many points could not be scored, and why the last of them could not."""
    failed = [trial for trial in trials if trial.state.name == "FAIL"]
    if not failed:
        return []
    why = failed[-1].user_attrs.get(FAILURE)
    # The first point is the algorithm's own.
    count = f"all {len(failed)}" if len(failed) == len(trials) - 1 else f"{len(failed)} of {len(trials)}"
    return [f"{count} points of the search failed{f': {why}' if why else ''}"]


def _of_score(score: Estimate) -> list[str]:
    said = {"not_distinguishable": "not distinguishable from", "below_baseline": "worse than"}
    if score.verdict not in said:
        return []
    return [f"the best score is {said[score.verdict]} that of a guess without features ({score.baseline:.4g})"]


def directions(study: OptunaStudy) -> str:
    """Of each objective: `tune_model` makes studies of one, others may have made theirs of several."""
    return ", ".join(direction.name.lower() for direction in study.directions)


def best_first(study: OptunaStudy) -> list[FrozenTrial]:
    """The trials that have come to their end; of several objectives the Pareto front alone, as it was found."""
    from optuna.trial import TrialState

    if len(study.directions) > 1:
        return study.best_trials
    complete = study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
    sign = -1 if study.direction.name == "MAXIMIZE" else 1
    return sorted(complete, key=lambda trial: sign * (trial.value if trial.value is not None else float("inf")))


def best_value(study: OptunaStudy) -> float | None:
    """None too where there are several objectives, each with a best of its own."""
    best = best_first(study) if len(study.directions) == 1 else []
    return finite(best[0].value) if best else None


def importance(study: OptunaStudy) -> dict[str, float]:
    """Share of each parameter (PED-ANOVA); empty before there are different points to compare."""
    from optuna.importance import get_param_importances

    if len(study.directions) > 1:
        return {}
    points = {json.dumps(trial.params, sort_keys=True): trial.params for trial in best_first(study) if trial.params}
    if len(points) < FEWEST_POINTS:
        return {}
    names = sorted(set.intersection(*(set(point) for point in points.values())))
    try:
        shares = get_param_importances(study, params=names)
    except (ValueError, RuntimeError):
        return {}
    return {name: round(share, 4) for name, share in shares.items()}


def trial_view(trial: FrozenTrial) -> Trial:
    import numpy as np

    took = trial.user_attrs.get(SECONDS, trial.duration.total_seconds() if trial.duration else None)
    folds = by_fold(trial)
    return Trial(
        number=trial.number,
        state=trial.state.name.lower(),
        value=finite(trial.values[0]) if trial.values and len(trial.values) == 1 else None,
        values=[finite(value) for value in trial.values] if trial.values and len(trial.values) > 1 else None,
        std=finite(np.std(folds, ddof=1)) if len(folds) > 1 else None,
        folds=folds,
        params=trial.params,
        seconds=round(took, 2) if took is not None else None,
    )
