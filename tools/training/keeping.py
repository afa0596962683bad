"""Keep what was trained: in a run of MLflow or, where that cannot be reached, here until it can."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import NotInstalled, Unavailable, require
from ..modeling import local
from ..modeling.algorithms import algorithm
from ..modeling.prepared import Prepared
from ..modeling.record import TrainingRecord, machine, versions
from ..modeling.rows import Rows
from ..modeling.store import log_model, record_model, require_logging
from ..runtime.work import Work
from ..tracking.client import log_run, run_for
from .models import TrainRequest

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

SAMPLE_ROWS = 5
TOOL = "train_model"


@dataclass(frozen=True)
class Kept:
    """Where a model is; without a run it is not logged, and `notes` say why."""

    model: str
    run: str | None = None
    notes: tuple[str, ...] = ()


def obstacle(work: Work, request: TrainRequest) -> str:
    """Why a model could not be logged now; empty if nothing is in the way.

    Raises:
        NotInstalled: the library of the algorithm, or the one that stores it, is missing.
        ToolFailure: an unknown algorithm or run, or a run that has ended.
    """
    require(algorithm(request.algorithm).library, "skops")
    try:
        require_logging(work, request.run)
    except (NotInstalled, Unavailable) as failure:
        return failure.message
    return ""


def keep(
    work: Work,
    request: TrainRequest,
    prepared: Prepared,
    pipeline: Pipeline,
    rows: Rows,
    metrics: dict[str, float],
    silence: str,
) -> Kept:
    """Log a model with its parameters and scores; if there is an `obstacle`, or one arises, keep it here.

    Args:
        request: names its datasets by handles, so that it can be asked again.
    """
    record = _record(work, request, prepared, metrics)
    try:
        if not silence:
            return _logged(work, request, prepared, pipeline, rows, record)
    except (NotInstalled, Unavailable) as failure:
        silence = failure.message
    model = local.keep(work, pipeline, prepared.card, rows, record)
    return Kept(model, None, (f"not logged: {silence}. log_model(model={model!r}) logs it once MLflow answers",))


def _record(work: Work, request: TrainRequest, prepared: Prepared, metrics: dict[str, float]) -> TrainingRecord:
    return TrainingRecord(
        tool=TOOL,
        request=request.model_dump(mode="json"),
        params={"algorithm": prepared.card.algorithm, "target": request.target, "seed": request.seed, **request.params},
        metrics=metrics,
        parents=[request.dataset, *filter(None, [request.validation, request.study])],
        versions=versions(),
        machine=machine(),
        threads=work.settings.runtime.job_threads,
    )


def _logged(
    work: Work, request: TrainRequest, prepared: Prepared, pipeline: Pipeline, rows: Rows, record: TrainingRecord
) -> Kept:
    sample = prepared.features.head(SAMPLE_ROWS)
    with run_for(work, request.run, request.experiment, f"train {prepared.card.algorithm}") as run:
        log_run(work, run, record.params, record.metrics, 0, record.tags)
        model = log_model(work, pipeline, prepared.card, run.removeprefix("run:"), sample, rows, record)
        record_model(work, model, record.parents, TOOL)
    return Kept(model, f"run:{run.removeprefix('run:')}")
