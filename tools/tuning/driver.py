"""The loop of a search: it asks Optuna for points, has them scored and tells it (optuna.study.Study.ask).

What is told, and so what Optuna knows when it is asked, depends on how many points are under way, and not on which of
them is scored first: a seed gives the same search for the same number of processes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..errors import ToolFailure
from ..runtime.work import Work
from .found import best_value
from .models import Tuned
from .pruning import bars_of
from .report import TrialLog
from .scoring import Point, Scored, Scoring
from .trials import FAILURE, SECONDS, JobTrials

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial, Trial

GIVE_UP_AFTER = 5
LONGEST_REASON = 200


@dataclass
class Driver:
    """`most` is how many trials the study is to have, `parts` of how many scores the value of one is the mean."""

    work: Work
    trials: JobTrials
    scoring: Scoring
    log: TrialLog
    most: int
    parts: int
    so_far: Callable[[], Tuned]
    _asked: deque[Trial] = field(default_factory=deque["Trial"])
    _failures: list[str] = field(default_factory=list[str])
    _over: bool = False

    def run(self) -> None:
        """Search until the trials or the time are used up.

        Raises:
            ToolFailure: one point after the other cannot be scored, or none could.
        """
        while self._ask_ahead():
            done = self.trials.finished()
            self.work.progress(done, self.most, f"trial {done + 1}/{self.most}", best_value(self.trials.study))
            trial = self._asked.popleft()
            self._tell(trial, self.scoring.take(trial.number))
        if best_value(self.trials.study) is None:
            raise ToolFailure("no trial finished", "Allow more time, or change the search space.")

    def _ask_ahead(self) -> bool:
        """Have as many points under way as can be; whether there is one."""
        while len(self._asked) < self.scoring.width and self._wants_more():
            trial = self.trials.next()
            self._asked.append(trial)
            self.scoring.put(Point(trial.number, trial.params, bars_of(self.trials.study, self.parts)))
        return bool(self._asked)

    def _wants_more(self) -> bool:
        if not self._over and self.work.out_of_time():
            self._over = True
            # They stay in the study, which can be resumed.
            dropped = self.scoring.drop()
            self._asked = deque(trial for trial in self._asked if trial.number not in dropped)
        return not self._over and self.trials.finished() + len(self._asked) < self.most

    def _tell(self, trial: Trial, scored: Scored) -> None:
        told = tell(self.trials.study, trial, scored)
        span = self.work.tracer.start(f"trial {trial.number}", params=trial.params)
        span.start = scored.began
        span.set_output({"value": told.value, "failure": scored.failure})
        self.work.tracer.finish(span, at=scored.ended)
        self.log.add(told, scored.began, scored.ended)
        if best_value(self.trials.study) is not None:
            self.work.keep(self.so_far())
        self._failures = [*self._failures, scored.failure] if scored.failure else []
        if len(self._failures) >= GIVE_UP_AFTER:
            raise ToolFailure(
                f"{GIVE_UP_AFTER} trials in a row failed: {self._failures[-1]}", "Change the search space."
            )


def tell(study: Study, trial: Trial, scored: Scored) -> FrozenTrial:
    """Write the outcome of a trial: the running means of its parts, and its value unless it was pruned or failed."""
    from optuna.trial import TrialState

    trial.set_user_attr(SECONDS, scored.ended - scored.began)
    means = [sum(scored.values[: step + 1]) / (step + 1) for step in range(len(scored.values))]
    for step, mean in enumerate(means):
        trial.report(mean, step)
    if scored.failure:
        trial.set_user_attr(FAILURE, scored.failure[:LONGEST_REASON])
        return study.tell(trial, state=TrialState.FAIL)
    return study.tell(trial, state=TrialState.PRUNED) if scored.pruned else study.tell(trial, means[-1])
