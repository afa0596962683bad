"""Take in models that were trained elsewhere: a file of skops or XGBoost, never a pickle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..data.store import Dataset, resolve
from ..errors import ToolFailure, unknown
from ..modeling.algorithms import ALGORITHMS
from ..modeling.card import Feature, Label, ModelCard, Task
from ..modeling.frame import choose_features, design
from ..modeling.opened.reading import read_model as read_model_file
from ..modeling.opened.xgboost_trees import check_file
from ..runtime.work import Work
from ..user_files import content_of, readable

if TYPE_CHECKING:
    import pandas as pd
    from sklearn.pipeline import Pipeline

FORMATS = (".skops", ".ubj", ".json")


def read_model(
    work: Work, file: Path, preprocessor: str, dataset: str, target: str
) -> tuple[Pipeline, ModelCard, pd.DataFrame]:
    """A pipeline around the model of a file, its card, and rows it was tried on.

    Args:
        preprocessor: a skops file of a fitted transformer that the model expects before it; may be empty.
        dataset, target: the data the model was made for; they settle the types of its inputs.

    Raises:
        ToolFailure: another format, a type that is not trusted, unknown inputs, or a model that cannot predict.
    """
    from sklearn.pipeline import Pipeline

    model = _load(file)
    steps: list[tuple[str, Any]] = [("pre", _load(readable(work.settings, preprocessor)))] if preprocessor else []
    pipeline = Pipeline([*steps, ("model", model)])
    source = resolve(work, dataset)
    source.require([target])
    frame = source.frame()
    card = _card(steps[0][1] if steps else model, model, source, frame, target)
    rows = design(frame.head(20), card)
    _try(pipeline, rows, card)
    return pipeline, card, rows


def _load(path: Path) -> Any:
    if path.suffix == ".skops":
        return read_model_file(content_of(path), path.name)
    if path.suffix in (".ubj", ".json"):
        return _load_xgboost(path)
    raise ToolFailure(f"{path.name} has no format that is safe to load", f"Readable: {', '.join(FORMATS)}; no pickles.")


def _load_xgboost(path: Path) -> Any:
    import json

    import xgboost

    booster, content = xgboost.Booster(), bytearray(content_of(path))
    try:
        check_file(bytes(content))
        booster.load_model(content)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        said = (str(error) or type(error).__name__).splitlines()[0]
        raise ToolFailure(f"{path.name} is no XGBoost model: {said[:200]}") from error
    objective = json.loads(booster.save_config())["learner"]["objective"]["name"]
    classifies = objective.startswith(("binary:", "multi:"))
    model = xgboost.XGBClassifier() if classifies else xgboost.XGBRegressor()
    model.load_model(content)
    return model


def _card(first: Any, model: Any, source: Dataset, frame: pd.DataFrame, target: str) -> ModelCard:
    classes = _classes(model)
    task: Task = "classification" if classes else "regression"
    return ModelCard(
        algorithm=_algorithm(type(model)),
        task=task,
        target=target,
        classes=classes,
        features=_features(first, source, frame, target),
        dataset=source.handle,
        rows=source.info.rows,
    )


def _algorithm(kind: type) -> str:
    """The registry's name for a class, else that of the class."""
    path = f"{kind.__module__.partition('.')[0]}.{kind.__name__}"
    for entry in ALGORITHMS:
        for known in entry.estimators.values():
            if f"{known.partition('.')[0]}.{known.rpartition('.')[2]}" == path:
                return entry.name
    return kind.__name__


def _classes(model: Any) -> list[Label]:
    if not hasattr(model, "predict_proba"):
        return []
    classes: list[Label] = [getattr(label, "item", lambda label=label: label)() for label in model.classes_]
    if classes != list(range(len(classes))):
        raise ToolFailure(
            f"the model's classes are {classes[:5]}, not 0 to {len(classes) - 1}", "Encode the labels and train again."
        )
    return classes


def _features(first: Any, source: Dataset, frame: pd.DataFrame, target: str) -> list[Feature]:
    names = getattr(first, "feature_names_in_", None)
    if names is None:
        raise ToolFailure("the file does not say which columns the model takes", "Train it on a DataFrame.")
    wanted = [str(name) for name in names]
    for name in wanted:
        if name not in source.info.columns:
            raise unknown(f"column of {source.handle}", name, source.info.columns, "The model takes it.")
    return choose_features(frame, target, wanted, [])[0]


def _try(pipeline: Pipeline, rows: pd.DataFrame, card: ModelCard) -> None:
    try:
        pipeline.predict_proba(rows) if card.classes else pipeline.predict(rows)
    except (ValueError, TypeError, AttributeError) as error:
        raise ToolFailure(
            f"the model cannot predict rows of {card.dataset}: {str(error).splitlines()[0][:200]}",
            "Pass the preprocessor it was trained behind, as a skops file.",
        ) from error
