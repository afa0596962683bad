"""The trials of one job in a study that may hold others: how many have ended, and which one comes next.

A job whose process dies is started again. What it had reached is in the study, so it goes on there: the trial that
was running is scored again under its own number, and what has ended counts.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..tracing.ids import seconds_of
from .space import same_distribution

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.study import Study
    from optuna.trial import FrozenTrial, Trial

JOB = "job"
# The mark of the trial without parameters, which scores the algorithm's own.
DEFAULT = "default"
# Of one that could not be scored, why.
FAILURE = "failure"
# How long its scoring took; the times of the trial are those of asking and telling.
SECONDS = "seconds"


def job_begun(job: str) -> float:
    """When a job was submitted, in seconds since the epoch; now for work outside of a job."""
    return seconds_of(job) if job else time.time()


@dataclass
class JobTrials:
    """One job's trials of a study that nobody else drives meanwhile; `before` counts those of the jobs before it.

    `default_first` says that a new study begins with a trial without parameters.
    """

    study: Study
    space: Mapping[str, BaseDistribution]
    job: str
    default_first: bool = False
    before: int = field(init=False)
    _asked: set[int] = field(default_factory=set[int])

    def __post_init__(self) -> None:
        self._give_up_others()
        others = [trial for trial in self._ended() if not self.job or trial.user_attrs.get(JOB, "") != self.job]
        self.before = len(others)

    def finished(self) -> int:
        """How many trials of the study have ended, whoever made them."""
        return len(self._ended())

    def next(self) -> Trial:
        """A trial that a driver which died has left running, or a new one."""
        from optuna.trial import Trial, TrialState

        running: list[FrozenTrial] = self.study.get_trials(deepcopy=False, states=[TrialState.RUNNING])
        left = [trial for trial in running if trial.number not in self._asked]
        if not left and self.default_first and not self.study.get_trials(deepcopy=False):
            trial = self.study.ask()
            trial.set_user_attr(DEFAULT, True)
        elif not left:
            trial = self.study.ask(dict(self.space))
        else:
            trial = Trial(self.study, left[0]._trial_id)  # pyright: ignore[reportPrivateUsage]
            for name, distribution in self.space.items() if DEFAULT not in left[0].user_attrs else ():
                _suggest(trial, name, distribution)
        trial.set_user_attr(JOB, self.job)
        self._asked.add(trial.number)
        return trial

    def _give_up_others(self) -> None:
        """Fail what another search has left running whose space is not this one: its points are none of ours."""
        from optuna.trial import TrialState

        for trial in self.study.get_trials(deepcopy=False, states=[TrialState.RUNNING]):
            if not all(same_distribution(self.space.get(name), each) for name, each in trial.distributions.items()):
                self.study.tell(trial.number, state=TrialState.FAIL)

    def _ended(self) -> list[FrozenTrial]:
        return [trial for trial in self.study.get_trials(deepcopy=False) if trial.state.is_finished()]


def _suggest(trial: Trial, name: str, distribution: BaseDistribution) -> None:
    """Ask for a parameter; one that the trial has already stays as it is."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(distribution, CategoricalDistribution):
        trial.suggest_categorical(name, distribution.choices)
    elif isinstance(distribution, IntDistribution):
        trial.suggest_int(name, distribution.low, distribution.high, step=distribution.step, log=distribution.log)
    elif isinstance(distribution, FloatDistribution):
        trial.suggest_float(name, distribution.low, distribution.high, step=distribution.step, log=distribution.log)
