"""Models from elsewhere, and how a test takes them in."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mlops_mcp.tools.modeling.frame import design
from mlops_mcp.tools.modeling.store import find_model, load_pipeline
from mlops_mcp.tools.registry.foreign.client import import_model
from mlops_mcp.tools.registry.models import ImportedModel, ImportRequest
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.tracking.client import start_run


def laid_rows(folder: Path) -> pd.DataFrame:
    """Rows in `rows.parquet` of a folder, whose `y` follows from `x` and `z`."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=300), "z": rng.normal(size=300)})
    frame = frame.assign(y=(frame["x"] + 0.3 * frame["z"] > 0).astype(int))
    frame.to_parquet(folder / "rows.parquet")
    return frame


def taken(work: Work, tmp_path: Path, file: str = "", **changes: Any) -> ImportedModel:
    request: dict[str, Any] = {
        "model": "",
        "path": str(tmp_path / file) if file else "",
        "preprocessor": "",
        "dataset": str(tmp_path / "rows.parquet"),
        "target": "y",
        "classes": [],
        "run": "",
        "name": "",
    }
    return import_model(work, ImportRequest.model_validate(request | changes))


def allowing(work: Work) -> Work:
    """The same installation, whose administrator trusts whoever logs models."""
    mlflow = work.settings.mlflow.model_copy(update={"allow_pickle": True})
    return Work(work.settings.model_copy(update={"mlflow": mlflow}), work.tracer)


def answers(work: Work, model: str, frame: pd.DataFrame) -> np.ndarray:
    stored = find_model(work, model)
    pipeline, rows = load_pipeline(stored), design(frame, stored.card)
    return np.asarray(pipeline.predict_proba(rows) if stored.card.classes else pipeline.predict(rows))


def logged_by_mlflow(work: Work, log: Callable[[], Any], experiment: str = "theirs") -> str:
    """The address of a model that MLflow alone has logged, in an experiment whose files lie in the state folder."""
    import mlflow

    start_run(work, experiment, "", {})
    mlflow.set_experiment(experiment)
    with mlflow.start_run():
        return str(log().model_uri)


def linear(frame: pd.DataFrame, target: str = "y") -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression().fit(frame[["x", "z"]], frame[target])


def of_sklearn(model: Any, form: str = "skops", **more: Any) -> Any:
    from mlflow import sklearn

    return sklearn.log_model(model, name="theirs", serialization_format=form, pip_requirements=[], **more)


def of_code(folder: Path, code: str, rows: pd.DataFrame) -> Any:
    """A model that is code of its maker, as MLflow logs one with some rows."""
    from mlflow import pyfunc

    file = folder / "model_code.py"
    file.write_text(f"{code}\n\nfrom mlflow.models import set_model\nset_model(Model())\n", encoding="utf-8")
    return pyfunc.log_model(name="m", python_model=str(file), input_example=rows, pip_requirements=[])


def everything_in(folder: Path) -> dict[str, str]:
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }
