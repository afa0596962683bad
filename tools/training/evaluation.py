"""Evaluate a model: scores, how sure they are, a baseline, and which of the rows the model had seen before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..data.store import resolve
from ..errors import ToolFailure, unknown
from ..modeling.baseline import featureless
from ..modeling.card import ModelCard
from ..modeling.effects import EffectScorer, effect_rows, treatment_of
from ..modeling.folds import doubt, units_of
from ..modeling.frame import design
from ..modeling.inputs import surprises
from ..modeling.intervals import LEVEL, Interval, interval
from ..modeling.local import add_metrics, is_local
from ..modeling.metrics import Metric, Undefined, measured, metric_named
from ..modeling.pipelines import scores
from ..modeling.rows import overlap, rows_of, trained_rows
from ..modeling.searches import searched
from ..modeling.store import StoredModel, find_model, load_effect_model, load_pipeline
from ..modeling.target import encode, labelled, with_positive
from ..runtime.work import Work
from ..tracking.client import log_run
from .models import EvaluateRequest, Evaluation

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

DIGITS = 6


@dataclass(frozen=True)
class Answered:
    """The truth, the model's answers and those of a baseline; `notes` on what the rows hold."""

    truth: np.ndarray
    prediction: np.ndarray
    baseline: np.ndarray
    notes: list[str]


def evaluate_model(work: Work, request: EvaluateRequest) -> Evaluation:
    """Score a model on a dataset, with an interval and a baseline, and log the scores to its run."""
    model = find_model(work, request.model, effects=True)
    source = resolve(work, request.dataset)
    card = _with_positive(model.card, request.positive)
    metric = metric_named(request.metric, card)
    source.require([card.target, *([request.group] if request.group else [])])
    frame, dropped = labelled(source.frame(), card.target)
    work.progress(1, 3, "predicting")
    answers = _answered_effects if card.task == "effect" else _answered
    answered = answers(work, model, card, frame)
    work.progress(2, 3, "interval")
    found, base = (measured(card, answered.truth, each) for each in (answered.prediction, answered.baseline))
    seen, known = _known_rows(work, model, frame, request.group)
    sure, clustered = _sure(metric, card, answered, frame, request.group)
    if request.log:
        _log_scores(work, model.uri, found.known, source.name)
    return Evaluation(
        model=model.handle,
        dataset=source.handle,
        rows=len(answered.truth),
        trained_on=seen,
        metric=metric.name,
        positive=card.positive,
        score=found.values[metric.name],
        interval=[_rounded(bound) for bound in sure.bounds] if sure.bounds else None,
        interval_method=f"{LEVEL:.0%}, {sure.method}" if sure.bounds else None,
        baseline=base.values[metric.name],
        metrics=found.values,
        baseline_metrics=base.values,
        notes=[*known, *dropped, *found.notes, *clustered, *answered.notes, *_of_task(card)],
    )


def _with_positive(card: ModelCard, positive: str) -> ModelCard:
    """The card with its two classes in the order that makes the named one positive."""
    if positive and not card.classes:
        raise ToolFailure("the model has no classes, so none is positive", "Leave `positive` out.")
    return card.model_copy(update={"classes": with_positive(card.classes, positive)})


def _answered(work: Work, model: StoredModel, card: ModelCard, frame: pd.DataFrame) -> Answered:
    columns = design(frame, card)
    truth, found = encode(frame[card.target], card), scores(load_pipeline(model), columns, model.card)
    turned = found[:, ::-1] if card.classes != model.card.classes else found
    return Answered(truth, turned, featureless(work, card, len(truth)), surprises(columns, card))


def _answered_effects(work: Work, model: StoredModel, card: ModelCard, frame: pd.DataFrame) -> Answered:
    """What first stages leave of outcome and treatment, the effects, and the one effect that fits best."""
    import numpy as np

    loaded = load_effect_model(work, model)
    if (column := treatment_of(card).column) not in frame.columns:
        raise unknown("column", column, map(str, frame.columns))
    scorer = EffectScorer.on(card, effect_rows(frame, card), loaded.encoder)
    truth, effects = scorer.parts(loaded)
    constant = (truth[:, 0] @ truth[:, 1]) / (truth[:, 1] @ truth[:, 1])
    return Answered(truth, effects, np.full(len(effects), constant), [])


def _known_rows(work: Work, model: StoredModel, frame: pd.DataFrame, group: str) -> tuple[int | None, list[str]]:
    """How many rows the model was trained on, and notes on those, on groups, and on searches that scored them."""
    card = model.card
    others, trained = rows_of(frame, card), trained_rows(work, model.folder, card)
    notes = searched(work, card, others)
    if trained is None:
        return None, ["which rows this model was trained on is not known any more", *notes]
    column = card.group or card.likely_group
    _, doubts = doubt(frame, card.target, group or column)
    shared = overlap(trained, others, frame[column] if column in frame.columns else None)
    if shared.same == shared.rows:
        notes = []
    return shared.same, [*shared.notes(column), *notes, *doubts]


def _sure(
    metric: Metric, card: ModelCard, answered: Answered, frame: pd.DataFrame, group: str
) -> tuple[Interval, list[str]]:
    """The interval of a score, by cluster where rows belong together, and why there is none."""
    named = group or (card.group if card.group in frame.columns else "")
    clusters, repeats = units_of(frame, design(frame, card), named) if card.treatment is None else (None, 0)
    notes = [f"{repeats} rows repeat the features of others: the interval takes copies for one"] if repeats else []
    try:
        found = interval(metric, answered.truth, answered.prediction, clusters)
    except Undefined:
        return Interval(None), notes
    return found, notes if found.bounds else [*notes, f"no interval for {metric.name}: {found.reason}"]


def _rounded(value: float) -> float:
    """Six significant digits: a target in millionths has an interval, too."""
    return float(f"{value:.{DIGITS}g}")


def _log_scores(work: Work, uri: str, found: dict[str, float], dataset: str) -> None:
    from ..tracking.backend import mlflow_client

    named = {f"{dataset}_{name}": value for name, value in found.items()}
    if is_local(uri):
        add_metrics(work, uri, named)
        return
    run = mlflow_client(work).get_logged_model(uri.removeprefix("models:/")).source_run_id
    if run:
        log_run(work, run, {}, named, 0, {})


def _of_task(card: ModelCard) -> list[str]:
    if card.task != "effect":
        return []
    return [
        "r_score is how much better the effects fit than one effect for all (1 perfect, below 0 worse); true "
        "effects are never seen, so it is estimated and small even for good models"
    ]
