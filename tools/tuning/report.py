"""Every trial as an MLflow run below the run of its search, as Optuna's own MLflowCallback shows them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..runtime.work import Work
from ..tracking.client import close_abandoned, end_run, log_run, start_run
from ..tracking.models import RunStatus
from .models import TuneRequest

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

# Pruned is no failure, and no full score either.
STATUS: dict[str, RunStatus] = {"COMPLETE": "FINISHED", "PRUNED": "KILLED", "FAIL": "FAILED"}


@dataclass(frozen=True)
class TrialLog:
    """`run` is the parent run; it is ended here only if it was opened here."""

    work: Work
    run: str
    experiment: str
    metric: str
    own: bool

    @classmethod
    def open(cls, work: Work, request: TuneRequest, study: str, metric: str) -> TrialLog:
        run = request.run or start_run(work, request.experiment, f"tune {request.algorithm}", {"study": study}).run
        work.afterwards(close_abandoned, run, "" if request.run else run)
        return cls(work, run, request.experiment, metric, own=not request.run)

    def add(self, trial: FrozenTrial) -> None:
        tags = {"mlflow.parentRunId": self.run.removeprefix("run:"), "trial_state": trial.state.name}
        child = start_run(self.work, self.experiment, f"trial {trial.number}", tags).run
        metrics = {self.metric: trial.value} if trial.value is not None else {}
        log_run(self.work, child, trial.params, metrics, 0, {})
        end_run(self.work, child, STATUS[trial.state.name])

    def close(self, study: Study) -> None:
        log_run(self.work, self.run, {}, {f"best_{self.metric}": study.best_value}, 0, {"study": study.study_name})
        if self.own:
            end_run(self.work, self.run, "FINISHED")
