"""Every trial, and every candidate of a comparison, as an MLflow run below the run of the whole.

Optuna's own MLflowCallback shows trials so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import JsonValue

from ..runtime.work import Work
from ..tracking.checks import PARENT
from ..tracking.client import end_run, log_run, start_run
from ..tracking.ending import close_abandoned
from ..tracking.models import RunStatus
from ..tracking.parts import Part, experiment_of, log_part
from .models import CompareRequest, Comparison, Contender, TuneRequest

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

# Pruned is no failure, and no full score either.
STATUS: dict[str, RunStatus] = {"COMPLETE": "FINISHED", "PRUNED": "KILLED", "FAIL": "FAILED"}


@dataclass(frozen=True)
class TrialLog:
    """`run` is the parent run, `experiment` the id of the one that it is in."""

    work: Work
    run: str
    experiment: str
    metric: str

    @classmethod
    def open(cls, work: Work, request: TuneRequest, study: str, metric: str) -> TrialLog:
        run = start_run(work, request.experiment, f"tune {request.algorithm}", {"study": study}).run
        work.afterwards(close_abandoned, run)
        return cls(work, run, experiment_of(work, run), metric)

    def add(self, trial: FrozenTrial, began: float, ended: float) -> None:
        metrics = {self.metric: trial.value} if trial.value is not None else {}
        tags = {"trial_state": trial.state.name}
        part = Part(f"trial {trial.number}", trial.params, metrics, STATUS[trial.state.name], began, ended, tags)
        log_part(self.work, self.run, self.experiment, part)

    def close(self, study: Study) -> None:
        self.end(study.study_name, study.best_value)

    def end(self, study: str, best: float) -> None:
        log_run(self.work, self.run, {}, {f"best_{self.metric}": best}, 0, {"study": study})
        end_run(self.work, self.run, "FINISHED")


def log_comparison(work: Work, request: CompareRequest, made: Comparison) -> str:
    """Log a comparison and its candidates; the handle of its run."""
    tags = {"comparison": made.comparison, "dataset": request.dataset, "scored_on": made.scored_on}
    run = start_run(work, request.experiment, f"compare {request.target}", tags).run
    work.afterwards(close_abandoned, run)
    params: dict[str, JsonValue] = {
        "target": request.target, "metric": made.metric, "folds": request.folds, "repeats": request.repeats,
        "n_trials": request.n_trials, "seed": request.seed, "winner": made.winner,
    }  # fmt: skip
    log_run(work, run, params, {}, 0, {})
    for each in made.candidates:
        _log_candidate(work, request.experiment, run, made.metric, each)
    end_run(work, run, "FINISHED")
    return run


def _log_candidate(work: Work, experiment: str, parent: str, metric: str, each: Contender) -> None:
    child = start_run(work, experiment, each.candidate, {PARENT: parent.removeprefix("run:")}).run
    value = each.score.value if each.score else None
    means = {metric: value, f"{metric}_std": each.std, "seconds": each.seconds}
    log_run(
        work, child, dict(each.params), {name: number for name, number in means.items() if number is not None}, 0, {}
    )
    for step, score in enumerate(each.folds):
        if score is not None:
            log_run(work, child, {}, {f"{metric}_fold": score}, step, {})
    end_run(work, child, "FAILED" if each.error else "FINISHED")
