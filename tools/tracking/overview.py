"""Which experiments there are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ..paging import Page, page
from ..runtime.work import Work
from . import embedded
from .connection import everything, opened
from .models import ExperimentLine, cut, fit
from .views import visible

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment

# Runs that are counted one by one where the store cannot be asked for their number.
COUNTED = 1000
NAME_CHARS, TAG_CHARS, VALUE_CHARS = 100, 120, 60
COUNT = "select experiment_id, count(*) from runs where lifecycle_stage='active' group by experiment_id"


def list_experiments(work: Work, limit: int, cursor: str) -> Page[ExperimentLine]:
    """Those that are not deleted, the one that changed last first, each with its runs that are not deleted."""
    with opened(work) as client:
        found: list[Experiment] = everything(
            lambda token: client.search_experiments(
                max_results=1000, page_token=token, order_by=["last_update_time DESC", "experiment_id ASC"]
            )
        )
        shown = page(found, limit, cursor)
        counts, complete = _counts(work, client, [each.experiment_id for each in shown.items])
    lines = [_line(each, counts[each.experiment_id], not complete) for each in shown.items]
    return Page(items=lines, total=shown.total, next_cursor=shown.next_cursor)


def _line(found: Experiment, runs: int, more: bool) -> ExperimentLine:
    changed = found.last_update_time
    return ExperimentLine(
        experiment_id=found.experiment_id,
        name=cut(found.name, NAME_CHARS),
        runs=runs,
        more=more,
        updated=datetime.fromtimestamp(changed / 1000, UTC).isoformat(timespec="seconds") if changed else None,
        tags=fit({key: cut(value, VALUE_CHARS) for key, value in visible(found.tags).items()}, TAG_CHARS),
    )


def _counts(work: Work, client: MlflowClient, experiments: Sequence[str]) -> tuple[Counter[str], bool]:
    """How many runs each has, and whether all were counted: MLflow itself counts nothing."""
    if store := embedded.path(work.settings):
        return Counter({str(key): count for key, count in embedded.rows(store, COUNT)}), True
    found = client.search_runs(list(experiments), max_results=COUNTED) if experiments else []
    return Counter(run.info.experiment_id for run in found), len(found) < COUNTED
