"""Explain a model's answers: over a dataset, for one row, and by pairs of columns."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import JsonValue

from ..data.store import resolve
from ..errors import ToolFailure, unknown
from ..handles import parse
from ..lineage import Lineage
from ..modeling.algorithms import algorithm
from ..modeling.card import ModelCard
from ..modeling.frame import design
from ..modeling.store import StoredModel, find_model, load_effect_model, load_pipeline
from ..numbers import finite
from ..runtime.work import Work
from ..tracing.ids import uuid7
from .effects import effect_shap_values, rows_at_most
from .models import Contribution, ExplainRequest, Explanation, Importance, Interactions, Pair, PredictionExplanation
from .values import ShapValues, interaction_values, shap_values

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

BACKGROUND_ROWS = 1000
SHOWN = 20


def explain_model(work: Work, request: ExplainRequest) -> Explanation:
    """Importances over a sample of a dataset; the values are kept for plots."""
    model = find_model(work, request.model, effects=True)
    label = _label(model.card, request.label)
    source = resolve(work, request.dataset)
    most = rows_at_most(model.card) if model.card.task == "effect" else request.rows
    rows = _sample(source.frame(), min(request.rows, most), request.seed)
    features = design(rows, model.card)
    work.progress(1, 3, f"SHAP values of {len(features)} rows")
    with work.tracer.span("shap values", rows=len(features)) as span:
        found = _values(work, model, features, label)[0]
        span.set_attribute("explainer", found.explainer)
    work.progress(2, 3, "importances")
    identity = uuid7().replace("-", "")[:20]
    explanation = Explanation(
        explanation=f"explanation:{identity}",
        model=model.handle,
        dataset=source.handle,
        rows=len(features),
        explainer=found.explainer,
        output=found.output,
        label=_label_text(model.card, label),
        base_value=found.base,
        importances=_importances(found, features, model.card)[:SHOWN],
        additivity_error=found.additivity_error,
        notes=_notes(model.card, len(features), source.info.rows),
    )
    _keep(work, identity, explanation, found, features)
    Lineage(work.home).record(explanation.explanation, [model.uri, source.handle], "explain_model")
    return explanation


def explain_prediction(
    work: Work, model: str, row: dict[str, JsonValue], dataset: str, index: int, label: str, limit: int
) -> PredictionExplanation:
    """Contributions to the answer for one row, given as values or as a position in a dataset."""
    import pandas as pd

    stored = find_model(work, model, effects=True)
    wanted = _label(stored.card, label)
    if bool(row) == bool(dataset):
        raise ToolFailure("one row is explained at a time", "Pass either `row` or `dataset` with `index`.")
    frame = pd.DataFrame([row]) if row else resolve(work, dataset).frame()
    if not row and not 0 <= index < len(frame):
        raise ToolFailure(f"{dataset} has no row {index}", f"Its rows are 0 to {len(frame) - 1}.")
    features = design(frame if row else frame.iloc[[index]], stored.card)
    found, probability = _values(work, stored, features, wanted)
    ordered = sorted(zip(stored.card.names, found.values[0], strict=True), key=lambda item: -abs(item[1]))
    return PredictionExplanation(
        model=stored.handle,
        label=_label_text(stored.card, wanted),
        output=found.output,
        base_value=found.base,
        prediction=float(found.raw[0]),
        probability=probability,
        contributions=[
            Contribution(feature=name, value=_plain(features[name].iloc[0]), contribution=float(value))
            for name, value in ordered[:limit]
        ],
        omitted=max(0, len(ordered) - limit),
        additivity_error=found.additivity_error,
    )


def explain_interactions(work: Work, request: ExplainRequest) -> Interactions:
    """Pairs of columns whose effects depend on each other, for tree models."""
    import numpy as np

    model = find_model(work, request.model, effects=True)
    if model.card.task == "effect":
        raise ToolFailure(
            "interactions are of predictions, and this model knows an effect: it is an interaction already, of the "
            "treatment with each modifier",
            "explain_model shows which modifiers the effect varies with.",
        )
    if algorithm(model.card.algorithm).explainer != "tree":
        raise ToolFailure(f"{model.card.algorithm} has no interactions: its effects only add up", "Use a tree model.")
    label = _label(model.card, request.label)
    source = resolve(work, request.dataset)
    features = design(_sample(source.frame(), request.rows, request.seed), model.card)
    work.progress(1, 2, f"interactions of {len(features)} rows")
    mean = np.abs(interaction_values(load_pipeline(model), model.card, features, label)).mean(axis=0)
    names, total = model.card.names, mean.sum() or 1.0
    # The matrix holds each pair twice, half of the effect on either side of the diagonal.
    pairs = [
        Pair(features=[names[i], names[j]], mean_abs=float(2 * mean[i, j]), share=float(2 * mean[i, j] / total))
        for i in range(len(names))
        for j in range(i + 1, len(names))
    ]
    main = sorted(zip(names, np.diag(mean), strict=True), key=lambda item: -item[1])
    return Interactions(
        model=model.handle,
        dataset=source.handle,
        rows=len(features),
        label=_label_text(model.card, label),
        pairs=sorted(pairs, key=lambda pair: -pair.mean_abs)[:SHOWN],
        main_effects={name: float(value) for name, value in main[:SHOWN]},
    )


def plot_explanation(work: Work, explanation: str, kind: str, limit: int) -> bytes:
    """A PNG of a stored explanation, drawn by shap."""
    import io

    import matplotlib.pyplot as plt
    import numpy as np
    import pandas as pd
    import shap

    folder = _folder(work, explanation)
    features = pd.read_parquet(folder / "features.parquet")
    values = np.load(folder / "values.npy", allow_pickle=False)
    # shap colours by number; a category has no order, so it is drawn in grey.
    shown = features.apply(pd.to_numeric, errors="coerce")
    figure = plt.figure()
    try:
        style = "bar" if kind == "bar" else "dot"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            shap.summary_plot(
                values, shown, plot_type=style, max_display=limit, show=False, rng=np.random.default_rng(0)
            )
        picture = io.BytesIO()
        figure.savefig(picture, format="png", dpi=110, bbox_inches="tight")
    finally:
        plt.close("all")
    (folder / f"{kind}.png").write_bytes(picture.getvalue())
    return picture.getvalue()


def _folder(work: Work, explanation: str) -> Path:
    folder = work.home / "explanations"
    known = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    if (name := parse(explanation, "explanation").name) not in known:
        raise unknown(
            "explanation", explanation, (f"explanation:{other}" for other in known), "explain_model makes one."
        )
    return folder / name


def _label(card: ModelCard, label: str) -> int:
    """The position of the class to explain; by default the last, i.e. the positive one of two."""
    if not card.classes:
        if label:
            raise ToolFailure(f"the model has no classes, so none is {label!r}", "Leave `label` out.")
        return 0
    names = [str(known) for known in card.classes]
    if not label:
        return len(names) - 1
    if label not in names:
        raise unknown("class", label, names)
    return names.index(label)


def _label_text(card: ModelCard, label: int) -> str | None:
    return str(card.classes[label]) if card.classes else None


def _sample(frame: pd.DataFrame, rows: int, seed: int) -> pd.DataFrame:
    if frame.empty:
        raise ToolFailure("the dataset has no rows", "Pass one that has.")
    return frame if len(frame) <= rows else frame.sample(rows, random_state=seed)


def _values(work: Work, model: StoredModel, features: pd.DataFrame, label: int) -> tuple[ShapValues, float | None]:
    """The contributions, and the probability of the class on the first row if there are classes."""
    if model.card.task == "effect":
        effects = load_effect_model(work, model)
        return effect_shap_values(effects, model.card, features, _background(work, model), 0), None
    pipeline = load_pipeline(model)
    linear = algorithm(model.card.algorithm).explainer == "linear"
    background = _background(work, model) if linear else features.head(0)
    probability = float(pipeline.predict_proba(features.head(1))[0, label]) if model.card.classes else None
    return shap_values(pipeline, model.card, features, background, label), probability


def _background(work: Work, model: StoredModel) -> pd.DataFrame:
    """Rows of the training data, what the contributions of linear models and of effects are measured from."""
    return design(_sample(resolve(work, model.card.dataset).frame(), BACKGROUND_ROWS, 0), model.card)


def _importances(found: ShapValues, features: pd.DataFrame, card: ModelCard) -> list[Importance]:
    import numpy as np

    mean = np.abs(found.values).mean(axis=0)
    total = mean.sum() or 1.0
    every = [
        Importance(
            feature=name,
            share=float(mean[index] / total),
            mean_abs=float(mean[index]),
            direction=_direction(features[name], found.values[:, index]) if name in card.numbers else None,
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


def _notes(card: ModelCard, rows: int, available: int) -> list[str]:
    notes = [f"a random sample of {rows} of {available} rows"] if rows < available else []
    if card.task == "effect":
        return [*notes, "importance says what the estimated effect varies with, not what causes the outcome"]
    return [*notes, "importance says what the model uses, not what causes the target"]


def _keep(work: Work, identity: str, explanation: Explanation, found: ShapValues, features: pd.DataFrame) -> None:
    import numpy as np

    folder = work.home / "explanations" / identity
    folder.mkdir(parents=True)
    np.save(folder / "values.npy", found.values)
    features.to_parquet(folder / "features.parquet")
    (folder / "explanation.json").write_text(
        json.dumps(explanation.model_dump(mode="json"), indent=1), encoding="utf-8"
    )


def _plain(value: object) -> JsonValue:
    return finite(value) if isinstance(value, float) else str(value)
