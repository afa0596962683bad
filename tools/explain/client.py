"""Explain a model's answers: over a dataset, for one row, and by pairs of columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import JsonValue

from ..data.store import resolve
from ..errors import ToolFailure, unknown
from ..lineage import Lineage
from ..modeling.algorithms import algorithm_of
from ..modeling.bounds import require_seed
from ..modeling.card import ModelCard
from ..modeling.frame import design
from ..modeling.inputs import surprises
from ..modeling.store import StoredModel, find_model, load_effect_model, load_pipeline
from ..numbers import finite
from ..runtime.dispatcher import answered
from ..runtime.pool import spread
from ..runtime.work import Work
from ..tracing.ids import uuid7
from ..undo import deletes
from .effects import effect_shap_values, rows_at_most
from .kept import keep
from .links import answer_unit, remarks, unit_of
from .models import (
    Contribution,
    ExplainedOutput,
    ExplainRequest,
    Explanation,
    Importance,
    Interactions,
    MainEffect,
    Pair,
    PredictionExplanation,
)
from .sampled import answer_values
from .shown import leading, plain, room_beside
from .values import Explained, Paired, ShapValues, joined, mean_of, shap_values

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from sklearn.pipeline import Pipeline

BACKGROUND_ROWS = 1000
# A worker of a cluster explains so many rows at a time.
BLOCK_ROWS = 5_000
SHOWN = 20
EVERY_CLASS = "*"
# Other classes than the explained one that an answer shows, the likeliest first.
OTHERS_SHOWN = 5
# Contributions that are shown if no more are asked for.
DEFAULT_LIMIT = 15
# Characters of what a class takes beside its contributions.
FRAME = 250


def explain_model(work: Work, request: ExplainRequest) -> Explanation:
    """Importances over a sample of a dataset; the values are kept for plots."""
    require_seed(request.seed)
    model = find_model(work, request.model, effects=True)
    card, source = model.card, resolve(work, request.dataset)
    label = _label(card, request.label, over_rows=True)
    name = f"explanation:{uuid7().replace('-', '')[:20]}"
    most = rows_at_most(card) if _is_asked_often(card) else request.rows
    features = design(_sample(source.frame(), min(request.rows, most), request.seed), card)
    work.progress(1, 3, f"SHAP values of {len(features)} rows")
    with work.tracer.span("shap values", rows=len(features)) as span:
        found, of_cluster = _values(work, model, features)
        span.set_attribute("explainer", found.explainer)
    work.progress(2, 3, "importances")
    shown = found if label is None else found.of(label)
    importances = _importances(shown, features, card)
    notes = [*_notes(card, label, len(features), source.info.rows), *remarks(found.link), *surprises(features, card)]
    notes += of_cluster
    leaders, text = leading(importances[:SHOWN], room_beside(notes)), _text(card, label)
    explanation = Explanation(
        explanation=name,
        model=model.handle,
        dataset=source.handle,
        rows=len(features),
        explainer=found.explainer,
        label=text,
        unit=unit_of(found.link, card, text),
        link=found.link.name,
        base_value=None if label is None else float(shown.base[0]),
        answer_unit=answer_unit(card, text),
        mean_answer=None if label is None else finite(shown.answers.mean()),
        importances=leaders,
        omitted=len(importances) - len(leaders),
        additivity_error=found.additivity_error,
        notes=notes,
        undo=deletes(name, source.handle if source.new else None),
    )
    keep(work, explanation, shown.values if label is None else shown.values[..., 0], features)
    Lineage(work.home).record(explanation.explanation, [model.uri, source.handle], "explain_model")
    return explanation


def explain_prediction(
    work: Work, model: str, row: dict[str, JsonValue], dataset: str, index: int, label: str, limit: int
) -> PredictionExplanation:
    """Contributions to the answer for one row, given as values or as a position in a dataset."""
    stored = find_model(work, model, effects=True)
    card = stored.card
    asked = _label(card, label, over_rows=False)
    shown_row, loaded = _row(work, row, dataset, index)
    features = design(shown_row, card)
    found, _ = _values(work, stored, features)
    order = _likeliest(found, card)
    chosen = asked if asked is not None else (1 if card.binary else order[0])
    others = [other for other in order if other != chosen] if label and asked is None else []
    shown = others[:OTHERS_SHOWN]
    more = [f"{len(others) - len(shown)} less likely classes are not shown"] if len(others) > len(shown) else []
    notes = [*more, *remarks(found.link), *surprises(features, card)]
    room = room_beside(notes) * max(limit, DEFAULT_LIMIT) // DEFAULT_LIMIT // (1 + len(shown)) - FRAME * bool(shown)
    first, *rest = [_output(found, card, features, each, limit, room) for each in (chosen, *shown)]
    return PredictionExplanation(
        **first.model_dump(),
        model=stored.handle,
        row=index if dataset else None,
        predicted=_text(card, order[0]),
        others=rest,
        additivity_error=found.additivity_error,
        notes=notes,
        undo=deletes(loaded) if loaded else None,
    )


def explain_interactions(work: Work, request: ExplainRequest) -> Interactions:
    """Pairs of columns whose effects depend on each other, for tree models."""
    model = find_model(work, request.model, effects=True)
    card, source = model.card, resolve(work, request.dataset)
    _require_pairs(card)
    label = _label(card, request.label, over_rows=True)
    features = design(_sample(source.frame(), request.rows, request.seed), card)
    work.progress(1, 2, f"interactions of {len(features)} rows")
    pipeline = load_pipeline(model)
    found = shap_values(pipeline, card, features, features.head(0))
    paired, of_cluster = Paired(pipeline, card, features, found.values), list[str]()
    with spread(work, len(paired.blocks)) as pool:
        told = answered(pool, paired, paired.blocks, lambda block: block, of_cluster)
        pairs = mean_of(paired, found, (sums for _, sums in told))
    # Of two classes with one margin, both have the same means.
    every = pairs.mean_abs if label is None or found.mirrored else pairs.mean_abs[..., label : label + 1]
    ranked, main = _ranked(every.mean(axis=2), card.names)
    notes = [*_notes(card, label, len(features), source.info.rows), *remarks(found.link), *surprises(features, card)]
    notes += of_cluster
    room, count, text = room_beside(notes), len(card.names), _text(card, label)
    leaders, alone = leading(ranked, room * 2 // 3), leading(main, room // 3)
    return Interactions(
        model=model.handle,
        dataset=source.handle,
        rows=len(features),
        label=text,
        unit=unit_of(found.link, card, text),
        link=found.link.name,
        pairs=leaders,
        main_effects=alone,
        omitted_pairs=count * (count - 1) // 2 - len(leaders),
        omitted_columns=count - len(alone),
        additivity_error=pairs.additivity_error,
        notes=notes,
        undo=deletes(source.handle) if source.new else None,
    )


def _is_asked_often(card: ModelCard) -> bool:
    """Whether each row that is explained is a thousand that the model answers."""
    return card.task == "effect" or algorithm_of(card.algorithm).explainer == "sampled"


def _require_pairs(card: ModelCard) -> None:
    if card.task == "effect":
        raise ToolFailure(
            "interactions are of predictions, and this model knows an effect: it is an interaction already, of the "
            "treatment with each modifier",
            "explain_model shows which modifiers the effect varies with.",
        )
    explainer = algorithm_of(card.algorithm).explainer
    if explainer != "tree":
        why = "its effects only add up" if explainer == "linear" else "nothing is known of its inside"
        raise ToolFailure(f"{card.algorithm} has no interactions that are told: {why}", "Use a tree model.")


def _label(card: ModelCard, label: str, over_rows: bool) -> int | None:
    """The position of the class to explain; None for all of them, or for the one that is predicted.

    Of two classes the second, i.e. the positive one, stands for both over many rows: the first has the same
    contributions with the opposite sign.
    """
    names = [str(known) for known in card.classes]
    if label in names:
        return names.index(label)
    if not names:
        if label not in ("", EVERY_CLASS):
            raise ToolFailure(f"the model has no classes, so none is {label!r}", "Leave `label` out.")
        return 0
    if label not in ("", EVERY_CLASS):
        raise unknown("class", label, names, f"{EVERY_CLASS!r} takes all.")
    return 1 if over_rows and card.binary else None


def _text(card: ModelCard, label: int | None) -> str | None:
    return str(card.classes[label]) if card.classes and label is not None else None


def _likeliest(found: ShapValues, card: ModelCard) -> list[int]:
    """The classes by their probability on the first row; that of a number is the only one."""
    import numpy as np

    answers = found.answers[0]
    every = np.array([1 - answers[0], answers[0]]) if found.mirrored else answers
    return [int(place) for place in np.argsort(-every, kind="stable")]


def _row(work: Work, row: dict[str, JsonValue], dataset: str, index: int) -> tuple[pd.DataFrame, str | None]:
    """The row, and the dataset that was loaded for it."""
    import pandas as pd

    if bool(row) == bool(dataset):
        raise ToolFailure("one row is explained at a time", "Pass either `row` or `dataset` with `index`.")
    if row:
        return pd.DataFrame([row]), None
    source = resolve(work, dataset)
    frame = source.frame()
    if not 0 <= index < len(frame):
        raise ToolFailure(f"{dataset} has no row {index}", f"Its rows are 0 to {len(frame) - 1}.")
    return frame.iloc[[index]], source.handle if source.new else None


def _sample(frame: pd.DataFrame, rows: int, seed: int) -> pd.DataFrame:
    """Rows under the numbers they have in the dataset."""
    if frame.empty:
        raise ToolFailure("the dataset has no rows", "Pass one that has.")
    numbered = frame.reset_index(drop=True)
    return numbered if len(frame) <= rows else numbered.sample(rows, random_state=seed)


def _values(work: Work, model: StoredModel, features: pd.DataFrame) -> tuple[ShapValues, list[str]]:
    """The values, and notes on the workers of a cluster that have made them."""
    if model.card.task == "effect":
        effects = load_effect_model(work, model)
        return effect_shap_values(effects, model.card, features, _background(work, model), 0), []
    pipeline: Pipeline = load_pipeline(model)
    if algorithm_of(model.card.algorithm).explainer == "sampled":
        return answer_values(pipeline, model.card, features, _background(work, model)), []
    linear = algorithm_of(model.card.algorithm).explainer == "linear"
    subject = Explained(pipeline, model.card, features, _background(work, model) if linear else features.head(0))
    starts, notes = range(0, len(features), BLOCK_ROWS), list[str]()
    with spread(work, len(starts)) as pool:
        if pool is None:
            return shap_values(pipeline, model.card, features, subject.background), []
        ends = (min(start + BLOCK_ROWS, len(features)) for start in starts)
        blocks = answered(pool, subject, zip(starts, ends, strict=True), lambda place: place, notes)
        return joined(pipeline, model.card, [told for _, told in blocks]), notes


def _background(work: Work, model: StoredModel) -> pd.DataFrame:
    """Rows of the training data, what the contributions of linear models and of effects are measured from."""
    return design(_sample(resolve(work, model.card.dataset).frame(), BACKGROUND_ROWS, 0), model.card)


def _output(
    found: ShapValues, card: ModelCard, features: pd.DataFrame, label: int, limit: int, room: int
) -> ExplainedOutput:
    """One class of one row, or its number."""
    one, text = found.of(label), _text(card, label)
    ordered = sorted(zip(card.names, one.values[0, :, 0].tolist(), strict=True), key=lambda item: -abs(item[1]))
    items = [
        Contribution(feature=name, value=plain(features[name].iloc[0]), contribution=value)
        for name, value in ordered[:limit]
    ]
    shown = leading(items, room)
    return ExplainedOutput(
        label=text,
        unit=unit_of(found.link, card, text),
        link=found.link.name,
        base_value=float(one.base[0]),
        margin=float(one.raw[0, 0]),
        answer_unit=answer_unit(card, text),
        answer=float(one.answers[0, 0]),
        contributions=shown,
        omitted=len(ordered) - len(shown),
        omitted_sum=sum(value for _, value in ordered[len(shown) :]),
    )


def _importances(found: ShapValues, features: pd.DataFrame, card: ModelCard) -> list[Importance]:
    import numpy as np

    mean = np.abs(found.values).mean(axis=(0, 2))
    total, one = mean.sum() or 1.0, found.values.shape[2] == 1
    every = [
        Importance(
            feature=name,
            share=float(mean[index] / total),
            mean_abs=float(mean[index]),
            direction=_direction(features[name], found.values[:, index, 0]) if one and name in card.numbers else None,
        )
        for index, name in enumerate(card.names)
    ]
    return sorted(every, key=lambda importance: -importance.mean_abs)


def _direction(column: pd.Series, values: np.ndarray) -> float | None:
    import pandas as pd

    known = column.notna().to_numpy()
    if known.sum() < 3 or column[known].nunique() < 2:
        return None
    number = finite(column[known].corr(pd.Series(values[known], index=column.index[known]), method="spearman"))
    return round(number, 3) if number is not None else None


def _ranked(mean: np.ndarray, names: list[str]) -> tuple[list[Pair], list[MainEffect]]:
    """The largest pairs and main effects; the matrix holds half of each pair on either side."""
    import numpy as np

    total, (left, right) = mean.sum() or 1.0, np.triu_indices(len(names), 1)
    sizes, alone = 2 * mean[left, right], np.diag(mean)
    pairs = [
        Pair(features=[names[left[k]], names[right[k]]], mean_abs=float(sizes[k]), share=float(sizes[k] / total))
        for k in np.argsort(-sizes, kind="stable")[:SHOWN]
    ]
    main = [MainEffect(feature=names[k], mean_abs=float(alone[k])) for k in np.argsort(-alone, kind="stable")[:SHOWN]]
    return pairs, main


def _notes(card: ModelCard, label: int | None, rows: int, available: int) -> list[str]:
    notes = [f"a random sample of {rows} of {available} rows"] if rows < available else []
    if label is None:
        notes.append(f"the mean over all {len(card.classes)} classes; `label` takes one of them")
    if card.task == "effect":
        return [*notes, "importance says what the estimated effect varies with, not what causes the outcome"]
    return [*notes, "importance says what the model uses, not what causes the target"]
