"""Train models and log them (scikit-learn pipelines)."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..data.store import resolve, with_handles
from ..errors import ToolFailure
from ..modeling.algorithms import ALGORITHMS, algorithm
from ..modeling.card import ModelCard
from ..modeling.estimated import Answers
from ..modeling.folds import FOLDS, Folds, folds, numbered
from ..modeling.guards import guarded, off
from ..modeling.metrics import Scores, measured
from ..modeling.pipelines import build, fit, merged, rare_below, scores
from ..modeling.prepared import Prepared, Question, held_out_rows, prepare
from ..modeling.rows import Rows, rows_of, shared
from ..modeling.target import guess
from ..modeling.telling import telling
from ..runtime.work import Work
from ..undo import deletes
from .evaluation import evaluate_model
from .keeping import keep, obstacle
from .models import AlgorithmLine, Algorithms, Trained, TrainRequest
from .recipe import complete

if TYPE_CHECKING:
    import numpy as np
    from sklearn.pipeline import Pipeline

__all__ = ["evaluate_model", "list_algorithms", "train_model"]

FEW_ROWS = 50
FEW_OF_A_CLASS = 5
SHOWN_LEVELS = 5
SHOWN_FEATURES = 60
# A fit that takes longer is not repeated for each fold.
REPEATED_FITS_S = 60.0


@dataclass(frozen=True)
class HeldOut:
    """The scores on other rows: of a dataset, or the means over folds that `folds` describes."""

    validation: Scores | None = None
    crossed: Scores | None = None
    folds: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def logged(self) -> dict[str, float]:
        named = {"validation": self.validation, "cross_validated": self.crossed}
        return {
            f"{kind}_{name}": value for kind, found in named.items() if found for name, value in found.known.items()
        }


def list_algorithms(_work: Work, name: str) -> Algorithms:
    """All of them in brief, or one by name with its parameters."""
    lines = [
        AlgorithmLine(
            name=entry.name,
            library=entry.library,
            tasks=sorted(entry.estimators),
            install=None if entry.installed else f"pip install 'mlops-mcp[{entry.extra}]'",
            defaults=dict(entry.defaults) if name else None,
            search_space=dict(entry.space) if name else None,
        )
        for entry in ([algorithm(name)] if name else ALGORITHMS)
    ]
    return Algorithms(algorithms=lines)


def train_model(work: Work, request: TrainRequest) -> Trained:
    """Fit one model and log it, its parameters and scores in a run."""
    request = complete(work.home, request)
    _require_predictive(request.algorithm)
    silence = obstacle(work, request)
    request, loaded = with_handles(work, request, "dataset", "validation")
    prepared = prepare(resolve(work, request.dataset), Question.of(request, request.algorithm), request.params)
    notes = [*prepared.notes, *_few(prepared), *telling(prepared)]
    card = prepared.card
    work.progress(1, 4, f"fitting {card.algorithm} on {card.rows} rows")
    # Importing the library is no part of the fit.
    build(card, work.settings.runtime.job_threads)
    began = time.perf_counter()
    with work.tracer.span("fit", algorithm=card.algorithm, rows=card.rows):
        pipeline = fit(card, prepared.features, prepared.target, work.settings.runtime.job_threads, prepared.units)
    took = time.perf_counter() - began
    work.progress(2, 4, "scoring")
    train = measured(card, prepared.target, scores(pipeline, prepared.features, card))
    prepared = replace(prepared, card=card.model_copy(update={"train": train.known}))
    rows = rows_of(prepared.frame, card, request.group or card.likely_group)
    held = _validated(work, request, pipeline, prepared, rows) or _crossed(work, request, prepared, took)
    work.progress(3, 4, "logging to MLflow")
    with work.tracer.span("log model"):
        metrics = {f"train_{name}": value for name, value in train.known.items()} | held.logged
        kept = keep(work, request, prepared, pipeline, rows, metrics, silence)
    return Trained(
        model=kept.model,
        run=kept.run,
        algorithm=card.algorithm,
        task=card.task,
        positive=card.positive,
        features=card.names[:SHOWN_FEATURES],
        classes=card.classes,
        rows=card.rows,
        train=train.values,
        validation=held.validation.values if held.validation else None,
        cross_validated=held.crossed.values if held.crossed else None,
        folds=held.folds,
        fit_seconds=round(took, 3),
        notes=[*kept.notes, *notes, *_of_fit(pipeline, prepared), *held.notes, *_not_shown(card)],
        undo=deletes(kept.model, None if request.run else kept.run, *loaded),
    )


def _not_shown(card: ModelCard) -> list[str]:
    more = len(card.names) - SHOWN_FEATURES
    return [f"{more} more features are not listed here"] if more > 0 else []


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


def _of_fit(pipeline: Pipeline, prepared: Prepared) -> list[str]:
    """What the fit has done with rare levels, with parameters in units of the target, and with held-out rows."""
    card, model = prepared.card, pipeline[-1]
    entry = algorithm(card.algorithm)
    spread = float(prepared.target.std())
    notes = [f"{name} counts in standard deviations of {card.target} ({spread:.4g})" for name in entry.in_spreads]
    if any(card.params.get(name) for name in entry.stops_early):
        best = getattr(model, "best_iteration", None) or getattr(model, "best_iteration_", None)
        notes.append(f"a tenth of the rows was held out to stop early, at round {best}")
    if entry.encoding != "onehot":
        return notes
    for name, levels in merged(pipeline[0]).items():
        shown = ", ".join(levels[:SHOWN_LEVELS]) + (" …" if len(levels) > SHOWN_LEVELS else "")
        notes.append(f"{name}: {len(levels)} levels in fewer than {rare_below(card.rows)} rows share a column: {shown}")
    return notes


def _validated(work: Work, request: TrainRequest, pipeline: Pipeline, prepared: Prepared, rows: Rows) -> HeldOut | None:
    """The scores on the validation dataset, if there is one, and what it shares with the training rows."""
    if not request.validation:
        return None
    held = held_out_rows(resolve(work, request.validation), prepared.card)
    card, prediction = prepared.card, scores(pipeline, held.features, prepared.card)
    found = measured(card, held.target, prediction)
    group = request.group or prepared.card.likely_group
    baseline = guess(card, prepared.target, len(held.target))
    return HeldOut(
        validation=found,
        notes=tuple(
            f"validation: {note}"
            for note in [
                *held.notes,
                *found.notes,
                *shared(rows, held.frame, card, group).notes(group),
                *off(card, held.features, prepared.features, Answers(held.target, prediction, baseline)),
            ]
        ),
    )


def _crossed(work: Work, request: TrainRequest, prepared: Prepared, took: float) -> HeldOut:
    """The mean scores over folds, or why there are none."""
    if took > REPEATED_FITS_S:
        return HeldOut(notes=("not cross-validated, since a fit takes long: pass `validation`",))
    try:
        cut = folds(prepared.frame, prepared.strata, prepared.units, request.time, FOLDS, request.seed)
        parts = [_on_fold(work, prepared, fitted, held) for fitted, held in cut.pairs]
    except ToolFailure as failure:
        return HeldOut(notes=(f"not cross-validated: {failure}",))
    own = [
        measured(prepared.card, prepared.target[held], found) for (_, held), found in zip(cut.pairs, parts, strict=True)
    ]
    crossed = _mean(own)
    return HeldOut(crossed=crossed, folds=cut.said, notes=(*cut.notes, *_of_folds(prepared, cut, parts, crossed)))


def _of_folds(prepared: Prepared, cut: Folds, parts: list[np.ndarray], crossed: Scores) -> list[str]:
    """What the answers on all folds together say of the model, with the scores that are means over folds."""
    import numpy as np

    card, held = prepared.card, np.concatenate([scored for _, scored in cut.pairs])
    units = None if prepared.units is None else numbered(prepared.units[held])
    truth = prepared.target[held]
    found = guarded(card, truth, np.concatenate(parts), guess(card, truth, len(truth)), units, told=crossed.values)
    return [f"over folds: {note}" for note in found]


def _on_fold(work: Work, prepared: Prepared, fitted: np.ndarray, held: np.ndarray) -> np.ndarray:
    card, units = prepared.card, prepared.units
    pipeline = fit(
        card, prepared.features.iloc[fitted], prepared.target[fitted], work.settings.runtime.job_threads,
        units[fitted] if units is not None else None,
    )  # fmt: skip
    return scores(pipeline, prepared.features.iloc[held], card)


def _mean(parts: list[Scores]) -> Scores:
    """The mean over folds of each score that all of them have."""
    reasons = {name: reason for part in parts for name, reason in part.reasons.items()}
    names = parts[0].values
    known = {name: [part.values[name] for part in parts] for name in names}
    means = {
        name: sum(value for value in values if value is not None) / len(values) if None not in values else None
        for name, values in known.items()
    }
    return Scores(means, reasons)


def _require_predictive(name: str) -> None:
    entry = algorithm(name)
    if "effect" in entry.estimators:
        raise ToolFailure(
            f"{entry.name} estimates the effect of a treatment instead of predicting",
            f"Call estimate_effect(…, algorithm={entry.name!r}), which trains and logs it.",
        )
