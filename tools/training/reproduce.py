"""Train a model again as it was trained, and hold the two against each other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pydantic import ValidationError

from ..data.store import resolve
from ..errors import ToolFailure
from ..lineage import Lineage
from ..modeling.card import ModelCard
from ..modeling.frame import design
from ..modeling.pipelines import scores
from ..modeling.record import TrainingRecord, read_record
from ..modeling.store import StoredModel, find_model, load_pipeline
from ..modeling.target import labelled
from ..runtime.work import Work
from .client import train_model
from .keeping import TOOL
from .models import ReproduceRequest, Reproduction, TrainRequest

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


def reproduce_run(work: Work, request: ReproduceRequest) -> Reproduction:
    """Repeat the training of a run's one model in a new run of the same experiment.

    Raises:
        ToolFailure: the run has no model of train_model, or its data are not here any more.
    """
    first = find_model(work, request.run, effects=True)
    record = _record_of(request.run, first)
    asked = _asked(record)
    frames = [_rows(work, handle, first.card) for handle in filter(None, (asked.dataset, asked.validation))]
    trained = train_model(work, asked)
    second = find_model(work, trained.model)
    now = read_record(second.folder) or record
    Lineage(work.home).record(second.uri, [first.uri], "reproduce_run")
    work.progress(3, 4, "comparing")
    apart = [_apart(first, second, frame) for frame in frames]
    return Reproduction(
        run=request.run,
        again=trained.run,
        model=trained.model,
        identical=all(same for same, _ in apart),
        rows=sum(len(frame) for frame in frames),
        largest_difference=max(largest for _, largest in apart),
        scores=dict(_changed_scores(record, now)),
        differs=list(_changed_surroundings(record, now)),
        notes=[] if trained.run else trained.notes[:1],
        undo=trained.undo,
    )


def _record_of(run: str, model: StoredModel) -> TrainingRecord:
    record = read_record(model.folder)
    if record is None or record.tool != TOOL:
        made = model.card.algorithm if record is None else record.tool
        raise ToolFailure(
            f"nothing says how the model of {run} ({made}) was trained",
            "Runs of train_model are reproduced; train the model again with it.",
        )
    return record


def _asked(record: TrainingRecord) -> TrainRequest:
    try:
        asked = TrainRequest.model_validate(record.request)
    except ValidationError as error:
        raise ToolFailure("what was asked for then cannot be asked any more", "Call train_model instead.") from error
    return asked.model_copy(update={"run": ""})


def _rows(work: Work, dataset: str, card: ModelCard) -> pd.DataFrame:
    """The labelled rows of the very data that were used: a handle names its content."""
    try:
        return labelled(resolve(work, dataset).frame(), card.target)[0]
    except ToolFailure as failure:
        raise ToolFailure(
            f"the data are not here any more: {failure.message}",
            f"Load the file that was {dataset} again: the same content gets the same handle.",
        ) from failure


def _apart(first: StoredModel, second: StoredModel, frame: pd.DataFrame) -> tuple[bool, float]:
    """Whether two models answer the same to the bit, and their largest difference."""
    import numpy as np

    before, now = (_answers(model, frame) for model in (first, second))
    return bool(np.array_equal(before, now)), float(np.abs(before - now).max(initial=0.0))


def _answers(model: StoredModel, frame: pd.DataFrame) -> np.ndarray:
    return scores(load_pipeline(model), design(frame, model.card), model.card)


def _changed_scores(before: TrainingRecord, now: TrainingRecord) -> Iterator[tuple[str, list[float | None]]]:
    for name in sorted(now.metrics):
        values = [before.metrics.get(name), now.metrics[name]]
        if values[0] != values[1]:
            yield name, values


def _changed_surroundings(before: TrainingRecord, now: TrainingRecord) -> Iterator[str]:
    for name in sorted(before.versions.keys() | now.versions.keys()):
        then, current = before.versions.get(name), now.versions.get(name)
        if then != current:
            yield f"{name} {then or 'not installed'} -> {current or 'not installed'}"
    if before.machine != now.machine:
        yield f"machine {before.machine} -> {now.machine}"
    if before.threads != now.threads:
        yield f"threads {before.threads} -> {now.threads}"
