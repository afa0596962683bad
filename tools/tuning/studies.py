"""Which studies there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..paging import Page, page
from ..runtime.work import Work
from .found import best_value, directions
from .models import StudyLine
from .storage import load_study, names, require_storage

if TYPE_CHECKING:
    from optuna.study import Study


def list_studies(work: Work, limit: int, cursor: str) -> Page[StudyLine]:
    """One page of the studies by name."""
    require_storage(work)
    shown = page(sorted(names(work)), limit, cursor)
    lines = [_line(load_study(work, name)) for name in shown.items]
    return Page(items=lines, total=shown.total, next_cursor=shown.next_cursor)


def _line(study: Study) -> StudyLine:
    trials = study.get_trials(deepcopy=False)
    states = [trial.state.name.lower() for trial in trials]
    return StudyLine(
        study=f"study:{study.study_name}",
        algorithm=study.user_attrs.get("algorithm"),
        metric=study.user_attrs.get("metric"),
        direction=directions(study),
        states={state: states.count(state) for state in sorted(set(states))},
        best_value=best_value(study),
    )
