"""Make a model of others into one of ours: a pipeline, and a card that says what it takes and gives."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import permutations
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue

from ...data.store import Dataset, resolve
from ...errors import MissingArgument, ToolFailure, unknown
from ...modeling.algorithms import ALGORITHMS
from ...modeling.boxed import Boxed
from ...modeling.card import ANSWERS, GRAPH, PYFUNC, Feature, Label, ModelCard
from ...modeling.frame import choose_features, design
from ...modeling.graph import Graph
from ...modeling.pipelines import refusals
from ...modeling.shipped import canonical
from ...modeling.target import classes_of, labelled
from ...runtime.work import Work
from .exported import bound, classes_in
from .opening import Opened
from .pyfuncs import settled

if TYPE_CHECKING:
    import pandas as pd
    from sklearn.pipeline import Pipeline

TRIED_ROWS = 20
# What is one piece: it holds what stands before the model, and says nothing of its inside.
WHOLE = Graph | Boxed
# Of more classes there are too many orders for anybody to pick one.
MAX_ORDERED = 3


@dataclass(frozen=True)
class Asked:
    """What the caller says of a model; `target` and `classes` may be left out where they can be told."""

    dataset: str
    target: str = ""
    classes: Sequence[str] = ()
    # Of each input in order, from a description beside the file, for files that do not say.
    names: Sequence[str] = ()


@dataclass(frozen=True)
class Taken:
    """A fitted pipeline, its card, rows it was tried on, and what was settled without being asked.

    `raw` are the same rows as they lie in the dataset.
    """

    pipeline: Pipeline
    card: ModelCard
    rows: pd.DataFrame
    raw: pd.DataFrame
    notes: list[str] = field(default_factory=list[str])


def take(work: Work, opened: Opened, preprocessor: Any, asked: Asked) -> Taken:
    """Raises:
    MissingArgument: what only a person knows.
    ToolFailure: unknown inputs, other classes than the dataset's, or a model that cannot predict.
    """
    pipeline = _whole(opened.model, preprocessor)
    source = resolve(work, asked.dataset)
    inputs = _inputs(pipeline if isinstance(pipeline, WHOLE) else pipeline[0], asked, source)
    target, notes = _target(source, inputs, asked.target)
    source.require([target])
    frame, _ = labelled(source.frame(), target)
    if isinstance(pipeline, Graph):
        pipeline = bound(pipeline, inputs, bool(asked.classes))
    params: dict[str, JsonValue] = {}
    if isinstance(pipeline, Boxed):
        pipeline, classes, told = settled(pipeline, inputs, frame, target, asked.classes)
        params[ANSWERS] = pipeline.answers
        notes = [*notes, told]
    else:
        classes = _classes(_own_classes(pipeline, frame.head(TRIED_ROWS)), frame, target, asked.classes)
    card = ModelCard(
        algorithm=_algorithm(pipeline),
        task="classification" if classes else "regression",
        target=target,
        classes=classes,
        features=_features(frame, target, inputs),
        params=params,
        dataset=source.handle,
        rows=source.info.rows,
    )
    raw = frame.head(TRIED_ROWS)[inputs]
    rows = design(raw, card)
    pipeline = _with_encoder(pipeline, rows)
    _try(pipeline, rows, card)
    return Taken(pipeline, card, rows, raw, notes)


def _whole(model: Any, preprocessor: Any) -> Any:
    """One pipeline, or a graph, which holds all that it does."""
    if not isinstance(model, WHOLE):
        return _pipeline(model, preprocessor)
    if preprocessor is not None:
        raise ToolFailure(
            "such a model holds what stands before it", "Leave `preprocessor` out, or export both as one."
        )
    return model


def _pipeline(model: Any, preprocessor: Any) -> Pipeline:
    """One pipeline, whose last step is the model that predicts."""
    from sklearn.pipeline import Pipeline

    steps: list[tuple[str, Any]] = list(model.steps) if isinstance(model, Pipeline) else [("model", model)]
    before = [("pre", preprocessor)] if preprocessor is not None else []
    return Pipeline([*before, *((name if name != "pre" else "pre_1", step) for name, step in steps)])


def _with_encoder(pipeline: Any, rows: pd.DataFrame) -> Any:
    """With a step before the model, as all of ours but graphs have: who explains one follows the columns through it."""
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import FunctionTransformer

    if isinstance(pipeline, WHOLE) or len(pipeline.steps) > 1:
        return pipeline
    same = FunctionTransformer(feature_names_out="one-to-one").fit(rows)
    return Pipeline([("pre", same), *pipeline.steps])


def _inputs(first: Any, asked: Asked, source: Dataset) -> list[str]:
    """The columns that the first step takes; it may be a graph."""
    told = getattr(first, "feature_names_in_", None)
    told = getattr(first, "feature_names_", None) if told is None else told
    told = first.own_names if isinstance(first, Graph) else told
    names = [str(name) for name in told] if told is not None else []
    # LightGBM writes other characters in place of some, and CatBoost numbers for no names.
    if (not names or not set(names) <= set(source.info.columns)) and _fits(asked.names, names, _width(first)):
        names = list(asked.names)
    if not names:
        raise ToolFailure(
            "the file does not say which columns the model takes",
            "Train it on a DataFrame, or log it in MLflow with an input example or signature that names them.",
        )
    for name in names:
        if name not in source.info.columns:
            raise unknown(f"column of {source.handle}", name, source.info.columns, "The model takes it.")
    return names


def _fits(offered: Sequence[str], names: Sequence[str], width: int) -> bool:
    """Whether a description beside the file names as many columns as the model takes; it may take any number."""
    return bool(offered) and (len(offered) in (len(names), width) or (width < 0 and not names))


def _width(first: Any) -> int:
    return first.width if isinstance(first, Graph) else int(getattr(first, "n_features_in_", -1))


def _target(source: Dataset, inputs: Sequence[str], asked: str) -> tuple[str, list[str]]:
    if asked:
        return asked, []
    left = [name for name in source.info.columns if name not in inputs]
    if len(left) == 1:
        return left[0], [f"target {left[0]}: the one column of {source.handle} that the model does not take"]
    if not left:
        raise ToolFailure(f"{source.handle} has no column that the model does not take", "Pass one with its target.")
    raise MissingArgument("a model file does not say what it predicts", "target", left)


def _own_classes(model: Any, rows: pd.DataFrame) -> list[Label] | None:
    """The labels in the order of the model's scores, as it has them itself; None of a regression."""
    if isinstance(model, Graph):
        return classes_in(model, rows)
    if not hasattr(model, "predict_proba"):
        return None
    return [getattr(label, "item", lambda label=label: label)() for label in model.classes_]


def _classes(own: list[Label] | None, frame: pd.DataFrame, target: str, asked: Sequence[str]) -> list[Label]:
    """The labels in the order of the model's scores, as the target has them; none of a regression."""
    if own is None:
        if asked:
            raise ToolFailure("the model gives numbers, no classes", "Leave `classes` out.")
        return []
    there = {canonical(label): label for label in classes_of(frame[target])}
    if asked:
        return _ordered(own, there, asked)
    if set(map(canonical, own)) >= set(there):
        return [there.get(canonical(label), label) for label in own]
    if not _numbered(own) or len(there) != len(own):
        raise ToolFailure(
            f"the model's classes are {own[:10]}, those of {target} are {list(there.values())[:10]}",
            "Pass the target it was trained on.",
        )
    orders = permutations(map(str, there.values())) if len(there) <= MAX_ORDERED else ()
    message = f"the model numbers its classes 0 to {len(own) - 1}, and {target} names them"
    raise MissingArgument(message, "classes", [json.dumps(order, ensure_ascii=False) for order in orders])


def _ordered(own: list[Label], there: dict[str, Label], asked: Sequence[str]) -> list[Label]:
    if len({*map(canonical, asked)}) != len(asked) or len(asked) != len(own):
        raise ToolFailure(
            f"the model has {len(own)} classes: {own[:10]}", "Name each once, in the order of its scores."
        )
    if not _numbered(own) and [*map(canonical, own)] != [*map(canonical, asked)]:
        raise ToolFailure(f"the model names its classes itself: {own[:10]}", "Leave `classes` out.")
    for name in asked:
        if canonical(name) not in there:
            raise unknown("class of the target", name, map(str, there.values()))
    return [there[canonical(name)] for name in asked]


def _numbered(classes: list[Label]) -> bool:
    return classes == list(range(len(classes)))


def _algorithm(model: Any) -> str:
    """The registry's name for the class of the last step, else that of the class."""
    if isinstance(model, WHOLE):
        return GRAPH if isinstance(model, Graph) else PYFUNC
    kind = type(model[-1])
    path = f"{kind.__module__.partition('.')[0]}.{kind.__name__}"
    for entry in ALGORITHMS:
        for known in entry.estimators.values():
            if f"{known.partition('.')[0]}.{known.rpartition('.')[2]}" == path:
                return entry.name
    return kind.__name__


def _features(frame: pd.DataFrame, target: str, inputs: list[str]) -> list[Feature]:
    return choose_features(frame, target, inputs, [])[0]


def _try(pipeline: Pipeline, rows: pd.DataFrame, card: ModelCard) -> None:
    try:
        pipeline.predict_proba(rows) if card.classes else pipeline.predict(rows)
    except unable() as error:
        said = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise ToolFailure(
            f"the model cannot predict rows of {card.dataset}: {said}",
            "Pass the preprocessor it was trained behind, as a skops file.",
        ) from error


def unable() -> tuple[type[Exception], ...]:
    """What libraries raise for rows that a model does not take."""
    return (AttributeError, *refusals())
