"""Evaluate a model: scores, how sure they are, a baseline, and what an honest analyst would say of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..addresses import ARTIFACT_PICTURE, address
from ..data.store import resolve, with_handles
from ..errors import ToolFailure, unknown
from ..modeling import guards
from ..modeling.card import ModelCard
from ..modeling.effects import EffectScorer, effect_rows, one_effect, treatment_of
from ..modeling.estimated import Answers, estimated
from ..modeling.folds import doubt, units_of
from ..modeling.frame import design
from ..modeling.local import add_metrics, is_local
from ..modeling.metrics import Metric, measured, metric_named, metrics_for
from ..modeling.pipelines import scores
from ..modeling.prepared import FEW_REPEATS
from ..modeling.rows import rows_of, shared, trained_rows, training_frame
from ..modeling.searches import searched
from ..modeling.store import StoredModel, find_model, load_effect_model, load_pipeline
from ..modeling.target import encode, guess, labelled, with_positive
from ..runtime.work import Work
from ..tracking.client import log_file, log_run
from ..undo import deletes
from .calibration import calibration, picture
from .models import Calibration, EvaluateRequest, Evaluation, Scores
from .slices import slices
from .thresholds import thresholds

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

GONE = "the rows this model was trained on are gone: no baseline, and no look at what has drifted"


@dataclass(frozen=True)
class Answered:
    """A model's answers on labelled rows; `notes` are on what the rows hold.

    `rows` are those that were answered, `columns` their design, `trained` the design of the training rows if that is
    known.
    """

    card: ModelCard
    answers: Answers
    rows: pd.DataFrame
    columns: pd.DataFrame
    trained: pd.DataFrame | None
    notes: list[str]


def evaluate_model(work: Work, request: EvaluateRequest) -> Evaluation:
    """Score a model on a dataset, with an interval and a baseline, and log the scores to its run."""
    model = find_model(work, request.model, effects=True)
    request, loaded = with_handles(work, request, "dataset")
    source = resolve(work, request.dataset)
    card = _with_positive(model.card, request.positive)
    metric = metric_named(request.metric, card)
    source.require([card.target, *(name for name in (request.group, request.by) if name)])
    frame, dropped = labelled(source.frame(), card.target)
    work.progress(1, 3, "predicting")
    answer = _answered_effects if card.task == "effect" else _answered
    found = answer(work, model, card, frame, request.group)
    work.progress(2, 3, "intervals")
    truth, given = found.answers.truth, measured(card, found.answers.truth, found.answers.prediction)
    score = estimated(metric, card, found.answers)
    seen, known = _known_rows(work, model, frame, request.group)
    off = guards.off(found.card, found.columns, found.trained, found.answers, metric, bool(seen))
    calibrated, why = _calibrated(work, request, model, found, source.name)
    if request.log:
        _log_scores(work, model.uri, given.known, source.name)
    return Evaluation(
        model=model.handle,
        dataset=source.handle,
        rows=len(truth),
        trained_on=seen,
        metric=metric.name,
        positive=card.positive,
        score=score,
        metrics=given.values,
        baseline_metrics=_baseline_scores(found),
        estimates=_all(metric, score, found) if "intervals" in request.show else {},
        thresholds=_thresholds(request, found),
        calibration=calibrated,
        slices=slices(metric, card, found.answers, found.rows[request.by]) if request.by else [],
        notes=[*known, *dropped, *_undefined(metric, given.notes), *found.notes, *off, *why],
        undo=deletes(*loaded) if loaded else None,
    )  # fmt: skip


def _undefined(metric: Metric, notes: list[str]) -> list[str]:
    """Of the metrics that nobody asked for; why the one that was asked for is null stands beside it."""
    return [note for note in notes if not note.startswith(f"{metric.name} ")]


def _with_positive(card: ModelCard, positive: str) -> ModelCard:
    """The card with its two classes in the order that makes the named one positive."""
    if positive and not card.classes:
        raise ToolFailure("the model has no classes, so none is positive", "Leave `positive` out.")
    return card.model_copy(update={"classes": with_positive(card.classes, positive)})


def _answered(work: Work, model: StoredModel, card: ModelCard, frame: pd.DataFrame, group: str) -> Answered:
    columns = design(frame, card)
    truth, found = encode(frame[card.target], card), scores(load_pipeline(model), columns, model.card)
    turned = found[:, ::-1] if card.classes != model.card.classes else found
    trained = training_frame(work, card)
    baseline = None if trained is None else guess(card, encode(trained[card.target], card), len(truth))
    clusters, noted = _clusters(frame, columns, group or (card.group if card.group in frame.columns else ""))
    notes = [*noted, *([GONE] if trained is None else [])]
    answers = Answers(truth, turned, baseline, clusters)
    return Answered(card, answers, frame, columns, None if trained is None else design(trained, card), notes)


def _answered_effects(work: Work, model: StoredModel, card: ModelCard, frame: pd.DataFrame, _group: str) -> Answered:
    """What first stages leave of outcome and treatment, the effects, and the one effect that fits best."""

    loaded = load_effect_model(work, model)
    if (column := treatment_of(card).column) not in frame.columns:
        raise unknown("column", column, map(str, frame.columns))
    rows = effect_rows(frame, card)
    scorer = EffectScorer.on(card, rows, loaded.encoder)
    truth, effects = scorer.parts(loaded)
    trained = training_frame(work, card)
    return Answered(
        card,
        Answers(truth, effects, one_effect(truth)),
        frame.iloc[rows.places],
        rows.modifiers,
        None if trained is None else design(trained, card),
        [],
    )


def _clusters(frame: pd.DataFrame, columns: pd.DataFrame, group: str) -> tuple[np.ndarray | None, list[str]]:
    clusters, repeats = units_of(frame, columns, group)
    if repeats <= FEW_REPEATS * len(frame):
        return clusters, []
    return clusters, [f"{repeats} rows repeat the features of others: intervals take copies for one"]


def _known_rows(work: Work, model: StoredModel, frame: pd.DataFrame, group: str) -> tuple[int | None, list[str]]:
    """How many rows the model was trained on, and notes on those, on groups, and on searches that scored them."""
    card = model.card
    trained = trained_rows(work, model.folder, card)
    notes = searched(work, card, rows_of(frame, card))
    if trained is None:
        return None, ["which rows this model was trained on is not known any more", *notes]
    column = card.group or card.likely_group
    _, doubts = doubt(frame, card.target, group or column)
    found = shared(trained, frame, card, column)
    if found.known == found.rows:
        notes = []
    return found.known, [*found.notes(column), *notes, *doubts]


def _baseline_scores(found: Answered) -> Scores:
    if found.answers.baseline is None:
        return {metric.name: None for metric in metrics_for(found.card)}
    return measured(found.card, found.answers.truth, found.answers.baseline).values


def _all(primary: Metric, score: Any, found: Answered) -> dict[str, Any]:
    return {
        metric.name: score if metric.name == primary.name else estimated(metric, found.card, found.answers)
        for metric in metrics_for(found.card)
    }


def _thresholds(request: EvaluateRequest, found: Answered) -> list[Any]:
    if "thresholds" not in request.show and not request.at:
        return []
    return thresholds(found.card, found.answers.truth, found.answers.prediction, request.at)


def _calibrated(
    work: Work, request: EvaluateRequest, model: StoredModel, found: Answered, dataset: str
) -> tuple[Calibration | None, list[str]]:
    """The calibration that was asked for, its picture among the artifacts of the model's run, or why there is none."""
    if "calibration" not in request.show:
        return None, []
    made = calibration(found.card, found.answers.truth, found.answers.prediction)
    if isinstance(made, str):
        return None, [made]
    run = _run_of(work, model.uri) if request.log else None
    if run is None:
        return made, []
    return made.model_copy(update={"picture": _draw(work, run, made, dataset, model.handle)}), []


def _draw(work: Work, run: str, made: Calibration, dataset: str, title: str) -> str:
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"calibration_{dataset}.png"
        path.write_bytes(picture(made, f"{title} on {dataset}").data)
        log_file(work, run, path)
        return address(ARTIFACT_PICTURE, run_id=run, path=path.name)


def _run_of(work: Work, uri: str) -> str | None:
    from ..tracking.backend import mlflow_client

    if is_local(uri):
        return None
    return mlflow_client(work).get_logged_model(uri.removeprefix("models:/")).source_run_id or None


def _log_scores(work: Work, uri: str, found: dict[str, float], dataset: str) -> None:
    named = {f"{dataset}_{name}": value for name, value in found.items()}
    if is_local(uri):
        add_metrics(work, uri, named)
    elif run := _run_of(work, uri):
        log_run(work, run, {}, named, 0, {})
