"""Open the file of a model: each form by what can look into it before its library does.

Pickles and CatBoost's files nobody can look into. They are opened only where the administrator allows it, and what
comes out of a pickle is held against the same list as any other model.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import ToolFailure, require
from ...modeling.boxed import Boxed, packed, require_boxes
from ...modeling.opened.lightgbm_trees import check_text
from ...modeling.opened.reading import read_model
from ...modeling.opened.xgboost_trees import check_file
from ...runtime.work import Work
from ...user_files import content_of
from .description import OPAQUE, PYFUNC, Readable
from .exported import open_graph, plain_answers

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

SETTING = "mlflow.allow_pickle (MLOPS_MLFLOW__ALLOW_PICKLE)"
UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError)
UNPICKLED = (*UNREADABLE, pickle.UnpicklingError, ImportError, EOFError)
CLASSIFYING = ("Logloss", "CrossEntropy", "MultiClass", "MultiClassOneVsAll")


@dataclass(frozen=True)
class Opened:
    """A model with the interface of scikit-learn, and what its own library answers for rows.

    `answers` are numbers of a regression, scores of the second of two classes, or of each class.
    """

    model: Any
    answers: Callable[[pd.DataFrame], np.ndarray]


def opened(work: Work, found: Readable) -> Opened:
    """Raises ToolFailure for a form that is not allowed, and for a file that holds something else."""
    name = found.file.name if found.form != PYFUNC else "the model"
    if found.form in OPAQUE and not work.settings.mlflow.allow_pickle:
        raise ToolFailure(
            f"{name} is {_kind(found)}, which can run code when it is opened, so it is not",
            f"Whoever runs this server can allow that by {SETTING}. Else save it as skops (mlflow.sklearn with "
            "serialization_format='skops'), XGBoost's .ubj or LightGBM's text, or train it with train_model.",
        )
    if found.form == PYFUNC:
        return _boxed(found.file)
    try:
        return READERS[found.form](content_of(found.file.resolve()), name)
    except ToolFailure:
        # A class that is not on our list, or whose module lies beside the model: its own process may know it.
        if found.whole is None or not work.settings.mlflow.allow_pickle:
            raise
    return _boxed(found.whole)


def _kind(found: Readable) -> str:
    return f"code of its maker ({PYFUNC})" if found.form == PYFUNC else f"a {found.form} file"


def _boxed(folder: Path) -> Opened:
    """Never opened here, but in a process that is held (`modeling/boxed.py`)."""
    require("mlflow")
    require_boxes()
    model = Boxed(packed(folder))
    return Opened(model, model.predict)


def _skops(content: bytes, name: str) -> Opened:
    model = read_model(content, name)
    if not hasattr(model, "predict"):
        raise ToolFailure(f"{name} holds a {type(model).__name__}, which does not predict", "Pass the model itself.")
    return Opened(model, _answers(model))


def _pickled(content: bytes, name: str) -> Opened:
    """What is kept is read from the skops file of it, so it holds nothing that is not on our list."""
    import skops.io

    try:
        model = pickle.loads(content)
        original = _answers(model)
        written = skops.io.dumps(model)
    except UNPICKLED as error:
        raise _no_model(name, "pickle of a model", error) from error
    return Opened(read_model(written, name), original)


def _answers(model: Any) -> Callable[[pd.DataFrame], np.ndarray]:
    return model.predict_proba if hasattr(model, "predict_proba") else model.predict


def _xgboost(content: bytes, name: str) -> Opened:
    import json

    import xgboost

    require("xgboost")
    booster = xgboost.Booster()
    try:
        check_file(content)
        booster.load_model(bytearray(content))
    except UNREADABLE as error:
        raise _no_model(name, "XGBoost model", error) from error
    objective = json.loads(booster.save_config())["learner"]["objective"]["name"]
    classifies = objective.startswith(("binary:", "multi:"))
    model = xgboost.XGBClassifier() if classifies else xgboost.XGBRegressor()
    model.load_model(bytearray(content))

    def answers(rows: pd.DataFrame) -> np.ndarray:
        return booster.predict(xgboost.DMatrix(rows.astype("float64")))

    return Opened(model, answers)


def _lightgbm(content: bytes, name: str) -> Opened:
    require("lightgbm")
    import lightgbm
    import numpy as np

    try:
        text = content.decode("ascii")
        check_text(text)
        booster = lightgbm.Booster(model_str=text)
    except (*UNREADABLE, lightgbm.basic.LightGBMError) as error:
        raise _no_model(name, "text of LightGBM", error) from error
    return Opened(_of_booster(booster, text), lambda rows: np.asarray(booster.predict(rows)))


def _of_booster(booster: Any, text: str) -> Any:
    """The booster as the estimator that has fitted it: LightGBM has no other way to make one from it."""
    import lightgbm
    import numpy as np
    from sklearn.preprocessing import LabelEncoder

    objective = next((line for line in text.splitlines() if line.startswith("objective=")), "objective=regression")
    classes = 2 if objective.startswith("objective=binary") else booster.num_model_per_iteration()
    model: Any = lightgbm.LGBMClassifier() if classes > 1 else lightgbm.LGBMRegressor()
    model._Booster, model.fitted_ = booster, True
    model._n_features = model._n_features_in = booster.num_feature()
    model._fitted_with_feature_names = booster.feature_name() != [f"Column_{n}" for n in range(booster.num_feature())]
    model._objective = objective.removeprefix("objective=").split(" ")[0]
    if classes > 1:
        model._classes, model._n_classes = np.arange(classes), classes
        model._le = LabelEncoder().fit(model._classes)
        model._class_map = {label: label for label in range(classes)}
    return model


def _catboost(content: bytes, name: str) -> Opened:
    require("catboost")
    import catboost

    try:
        original = catboost.CatBoost().load_model(blob=content)
        classifies = str(original.get_all_params().get("loss_function", "")).partition(":")[0] in CLASSIFYING
        model = (catboost.CatBoostClassifier if classifies else catboost.CatBoostRegressor)().load_model(blob=content)
    except (*UNREADABLE, catboost.CatBoostError) as error:
        raise _no_model(name, "model of CatBoost", error) from error
    kind = "Probability" if classifies else "RawFormulaVal"
    return Opened(model, lambda rows: original.predict(rows, prediction_type=kind))


def _onnx(content: bytes, name: str) -> Opened:
    model = open_graph(content, name)
    return Opened(model, lambda rows: plain_answers(content, rows))


def _no_model(name: str, what: str, error: Exception) -> ToolFailure:
    said = (str(error) or type(error).__name__).splitlines()[0]
    return ToolFailure(
        f"{name} is no {what}: {said[:200]}", "Save it again with its library, under a name of that format."
    )


READERS: dict[str, Callable[[bytes, str], Opened]] = {
    "skops": _skops,
    "pickle": _pickled,
    "xgboost": _xgboost,
    "lightgbm": _lightgbm,
    "catboost": _catboost,
    "onnx": _onnx,
}


def open_plain(path: Path, form: str) -> Any:
    """A preprocessor, which is a skops file."""
    if form != "skops":
        raise ToolFailure(f"{path.name} is no skops file", "A preprocessor is saved with skops.")
    return read_model(content_of(path), path.name)
