"""Train and evaluate (scikit-learn pipelines; scores by sklearn.metrics)."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..data.store import Dataset, resolve
from ..errors import ToolFailure, unknown
from ..modeling.algorithms import ALGORITHMS, algorithm
from ..modeling.card import ModelCard
from ..modeling.effects import EffectScorer, effect_rows, treatment_of
from ..modeling.frame import choose_features, classes_of, design, encode, infer_task
from ..modeling.metrics import interval, metric_named, metrics_for
from ..modeling.pipelines import fit, scores
from ..modeling.store import (
    StoredModel,
    find_model,
    load_effect_model,
    load_pipeline,
    log_model,
    record_model,
    require_ready,
)
from ..numbers import finite
from ..runtime.work import Work
from ..tracking.client import end_run, log_run, start_run
from .models import AlgorithmLine, Algorithms, EvaluateRequest, Evaluation, Trained, TrainRequest

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

SAMPLE_ROWS = 5
FEW_ROWS = 50
FEW_OF_A_CLASS = 5


@dataclass(frozen=True)
class Prepared:
    """A dataset turned into what `fit` takes; `notes` say what was left out."""

    source: Dataset
    card: ModelCard
    features: pd.DataFrame
    target: np.ndarray
    notes: list[str]


def list_algorithms(_work: Work) -> Algorithms:
    lines = [
        AlgorithmLine(
            name=entry.name,
            library=entry.library,
            tasks=sorted(entry.estimators),
            defaults=dict(entry.defaults),
            search_space=dict(entry.space),
            install=None if entry.installed else f"pip install 'mlops-mcp[{entry.extra}]'",
        )
        for entry in ALGORITHMS
    ]
    return Algorithms(algorithms=lines)


def train_model(work: Work, request: TrainRequest) -> Trained:
    """Fit one model and log it, its parameters and scores in a run."""
    _require_predictive(request.algorithm)
    require_ready(work, request.algorithm, request.run)
    prepared = prepare(work, request)
    work.progress(1, 4, f"fitting {request.algorithm} on {len(prepared.features)} rows")
    began = time.perf_counter()
    with work.tracer.span("fit", algorithm=request.algorithm, rows=len(prepared.features)):
        pipeline = fit(prepared.card, prepared.features, prepared.target, work.settings.runtime.job_threads)
    took = time.perf_counter() - began
    work.progress(2, 4, "scoring")
    train = _all_scores(pipeline, prepared.card, prepared.features, prepared.target)
    validation = _validation(work, request.validation, pipeline, prepared.card)
    work.progress(3, 4, "logging to MLflow")
    with work.tracer.span("log model"):
        run, model = _log(work, request, prepared, pipeline, train, validation)
    return Trained(
        model=model,
        run=run,
        algorithm=prepared.card.algorithm,
        task=prepared.card.task,
        features=prepared.card.names,
        classes=[str(label) for label in prepared.card.classes],
        rows=len(prepared.features),
        train=train,
        validation=validation,
        fit_seconds=round(took, 3),
        notes=prepared.notes,
    )


def prepare(work: Work, request: TrainRequest) -> Prepared:
    """Read the dataset and settle task, features and labels."""
    source = resolve(work, request.dataset)
    frame = source.frame()
    source.require([request.target])
    task = infer_task(frame[request.target]) if request.task == "auto" else request.task
    entry = algorithm(request.algorithm, task)
    features, notes = choose_features(frame, request.target, request.features, request.exclude)
    card = ModelCard(
        algorithm=entry.name,
        task=task,
        target=request.target,
        classes=classes_of(frame[request.target]) if task == "classification" else [],
        features=features,
        params=request.params,
        seed=request.seed,
        dataset=source.handle,
        rows=len(frame),
    )
    prepared = Prepared(source, card, design(frame, card), encode(frame[request.target], card), notes)
    return replace(prepared, notes=[*notes, *_few(prepared)])


def _few(prepared: Prepared) -> list[str]:
    """Notes on what there is too little of.

    Raises:
        ToolFailure: the target never changes.
    """
    import numpy as np

    values, counts = np.unique(prepared.target, return_counts=True)
    if len(values) < 2:
        raise ToolFailure(f"{prepared.card.target} is the same in every row", "There is nothing to learn.")
    notes = [f"{len(prepared.target)} rows are few: the scores say little"] if len(prepared.target) < FEW_ROWS else []
    if prepared.card.classes and counts.min() < FEW_OF_A_CLASS:
        rarest = prepared.card.classes[values[counts.argmin()]]
        notes.append(f"class {rarest} has {counts.min()} rows: nothing can be learnt about it")
    return notes


def evaluate_model(work: Work, request: EvaluateRequest) -> Evaluation:
    """Score a model on a dataset, with an interval and a baseline, and log the scores to its run."""
    model = find_model(work, request.model, effects=True)
    source = resolve(work, request.dataset)
    metric = metric_named(request.metric, model.card)
    frame = source.frame()
    source.require([model.card.target])
    work.progress(1, 3, "predicting")
    answers = _answered_effects if model.card.task == "effect" else _answered
    truth, prediction, base = answers(work, model, frame)
    work.progress(2, 3, "bootstrap")
    found, baseline = _measured(model.card, truth, prediction), _measured(model.card, truth, base)
    bounds = interval(metric, truth, prediction)
    if request.log:
        _log_scores(work, model.uri, found, source.name)
    return Evaluation(
        model=model.handle,
        dataset=source.handle,
        rows=len(truth),
        metric=metric.name,
        score=found[metric.name],
        interval=[round(bound, 6) for bound in bounds] if bounds else None,
        baseline=baseline.get(metric.name),
        metrics=found,
        baseline_metrics=baseline,
        notes=_evaluation_notes(model.card, source),
    )


def _answered(work: Work, model: StoredModel, frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The truth, the model's answers and those of a baseline."""
    card = model.card
    truth = encode(frame[card.target], card)
    return truth, scores(load_pipeline(model), design(frame, card), card), _baseline(work, card, len(truth))


def _answered_effects(work: Work, model: StoredModel, frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What first stages leave of outcome and treatment, the effects, and the one effect that fits best."""
    import numpy as np

    card, loaded = model.card, load_effect_model(work, model)
    if (column := treatment_of(card).column) not in frame.columns:
        raise unknown("column", column, map(str, frame.columns))
    scorer = EffectScorer.on(card, effect_rows(frame, card), loaded.encoder)
    truth, effects = scorer.parts(loaded)
    constant = (truth[:, 0] @ truth[:, 1]) / (truth[:, 1] @ truth[:, 1])
    return truth, effects, np.full(len(effects), constant)


def _baseline(work: Work, card: ModelCard, rows: int) -> np.ndarray:
    """What a model without features would say: the class shares, or the mean, of the training data."""
    import numpy as np

    target = encode(resolve(work, card.dataset).frame([card.target])[card.target], card)
    if card.task == "regression":
        return np.full(rows, target.mean())
    shares = np.bincount(target, minlength=len(card.classes)) / len(target)
    return np.tile(shares, (rows, 1))


def _measured(card: ModelCard, truth: np.ndarray, prediction: np.ndarray) -> dict[str, float]:
    values = {metric.name: finite(metric.score(truth, prediction)) for metric in metrics_for(card)}
    return {name: value for name, value in values.items() if value is not None}


def _all_scores(pipeline: Any, card: ModelCard, features: pd.DataFrame, target: np.ndarray) -> dict[str, float]:
    return _measured(card, target, scores(pipeline, features, card))


def _validation(work: Work, dataset: str, pipeline: Any, card: ModelCard) -> dict[str, float] | None:
    if not dataset:
        return None
    source = resolve(work, dataset)
    source.require([card.target])
    frame = source.frame()
    return _all_scores(pipeline, card, design(frame, card), encode(frame[card.target], card))


def _log(
    work: Work,
    request: TrainRequest,
    prepared: Prepared,
    pipeline: Any,
    train: dict[str, float],
    validation: dict[str, float] | None,
) -> tuple[str, str]:
    own = not request.run
    run = request.run or start_run(work, request.experiment, f"train {prepared.card.algorithm}", {}).run
    identity = run.removeprefix("run:")
    metrics = {f"train_{name}": value for name, value in train.items()}
    metrics |= {f"validation_{name}": value for name, value in (validation or {}).items()}
    params = {"algorithm": prepared.card.algorithm, "target": request.target, "seed": request.seed, **request.params}
    log_run(work, run, params, metrics, 0, {"dataset": prepared.source.handle})
    model = log_model(work, pipeline, prepared.card, identity, prepared.features.head(SAMPLE_ROWS))
    record_model(
        work, model, [prepared.source.handle, *([request.validation] if request.validation else [])], "train_model"
    )
    if own:
        end_run(work, run, "FINISHED")
    return f"run:{identity}", model


def _log_scores(work: Work, uri: str, found: dict[str, float], dataset: str) -> None:
    from ..tracking.backend import mlflow_client

    run = mlflow_client(work).get_logged_model(uri.removeprefix("models:/")).source_run_id
    if run:
        log_run(work, run, {}, {f"{dataset}_{name}": value for name, value in found.items()}, 0, {})


def _evaluation_notes(card: ModelCard, source: Dataset) -> list[str]:
    notes: list[str] = []
    if source.handle == card.dataset:
        notes.append("this is the training dataset: the scores are no estimate for new data")
    if card.task == "effect":
        notes.append(
            "r_score is how much better the effects fit than one effect for all (1 perfect, below 0 worse); true "
            "effects are never seen, so it is estimated and small even for good models"
        )
    return notes


def _require_predictive(name: str) -> None:
    entry = algorithm(name)
    if "effect" in entry.estimators:
        raise ToolFailure(
            f"{entry.name} estimates the effect of a treatment instead of predicting",
            f"Call estimate_effect(…, estimator={entry.name!r}), which trains and logs it.",
        )
