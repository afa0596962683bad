"""Which studies there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..numbers import finite
from ..paging import Page, page
from ..runtime.work import Work
from .models import StudyLine
from .storage import find_study, names, require_storage

if TYPE_CHECKING:
    from optuna.study import Study


def list_studies(work: Work, limit: int, cursor: str) -> Page[StudyLine]:
    """One page of the studies by name."""
    require_storage(work)
    shown = page(sorted(names(work)), limit, cursor)
    lines = [_line(find_study(work, f"study:{name}")) for name in shown.items]
    return Page(items=lines, total=shown.total, next_cursor=shown.next_cursor)


def _line(study: Study) -> StudyLine:
    from optuna.trial import TrialState

    trials = study.get_trials(deepcopy=False)
    states = [trial.state.name.lower() for trial in trials]
    values = [
        value for trial in trials if trial.state is TrialState.COMPLETE and (value := finite(trial.value)) is not None
    ]
    direction = study.direction.name.lower()
    return StudyLine(
        study=f"study:{study.study_name}",
        algorithm=study.user_attrs.get("algorithm"),
        metric=study.user_attrs.get("metric"),
        direction=direction,
        states={state: states.count(state) for state in sorted(set(states))},
        best_value=(max if direction == "maximize" else min)(values, default=None),
    )
