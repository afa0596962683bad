"""Models that plain MLflow has logged in an experiment of its own, all the way into Production and out again."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest

from mlops_mcp.config.load import load
from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.explain.client import explain_model, explain_prediction
from mlops_mcp.tools.explain.models import ExplainRequest
from mlops_mcp.tools.modeling.store import find_model
from mlops_mcp.tools.registry import client, promotion, stages
from mlops_mcp.tools.registry.models import PromoteRequest
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.serving import client as serving
from mlops_mcp.tools.serving import endpoints
from mlops_mcp.tools.serving.bentos import make_bento, require_whole
from mlops_mcp.tools.serving.models import DeployRequest, PackageRequest, Resources
from mlops_mcp.tools.serving.targets.answers import ExportRequest
from mlops_mcp.tools.serving.targets.exporting import export_deployment
from mlops_mcp.tools.tracing.span import Tracer
from mlops_mcp.tools.tracking.backend import mlflow_client
from mlops_mcp.tools.training.client import evaluate_model, train_model
from mlops_mcp.tools.training.models import EvaluateRequest, TrainRequest
from mlops_mcp.tools.tuning.compare import compare_models
from mlops_mcp.tools.tuning.models import CompareRequest

from ...conftest import PATIENT
from .imported import answers, everything_in, laid_rows, linear, logged_by_mlflow, of_code, of_sklearn, taken

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore", "error::ResourceWarning")]
INPUTS = ["x", "z"]
Log = Callable[[], Any]


@dataclass
class Shop:
    """An installation with a model of its own that knows only one of the columns."""

    work: Work
    folder: Path
    frame: pd.DataFrame
    ours: str
    made: dict[str, str] = field(default_factory=dict[str, str])


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Generator[Shop]:
    folder = tmp_path_factory.mktemp("existing")
    (folder / "empty.yaml").touch()
    environ = {"MLOPS_HOME": str(folder / "home"), "MLOPS_CONFIG": str(folder / "empty.yaml"), **PATIENT}
    settings = load(environ, {"data.roots": [str(folder)], "mlflow.allow_pickle": "true"}).settings
    work = Work(settings, Tracer(lambda _span: None))
    frame = laid_rows(folder)
    others = np.random.default_rng(1).normal(size=(200, 2))
    held = pd.DataFrame(others, columns=INPUTS)
    held.assign(y=(held["x"] + 0.3 * held["z"] > 0).astype(int)).to_parquet(folder / "held.parquet")
    asked = {"dataset": str(folder / "rows.parquet"), "target": "y", "algorithm": "LogisticRegression"}
    ours = train_model(work, TrainRequest.model_validate(asked | {"features": ["z"]})).model
    try:
        yield Shop(work, folder, frame, ours)
    finally:
        for line in serving.list_endpoints(work, 100, "").items:
            serving.stop_endpoint(work, line.endpoint)


def of_skops(frame: pd.DataFrame) -> tuple[Any, Log]:
    model = linear(frame)
    return model, lambda: of_sklearn(model)


def of_xgboost(frame: pd.DataFrame) -> tuple[Any, Log]:
    from mlflow import xgboost
    from xgboost import XGBClassifier

    model = XGBClassifier(n_estimators=5).fit(frame[INPUTS], frame["y"])
    return model, lambda: xgboost.log_model(model, name="m", pip_requirements=[])


def of_lightgbm(frame: pd.DataFrame) -> tuple[Any, Log]:
    from lightgbm import LGBMClassifier
    from mlflow import lightgbm

    model = LGBMClassifier(n_estimators=20, verbose=-1, n_jobs=1).fit(frame[INPUTS], frame["y"])
    return model, lambda: lightgbm.log_model(model.booster_, name="m", pip_requirements=[])


def of_catboost(frame: pd.DataFrame) -> tuple[Any, Log]:
    import catboost
    from mlflow import catboost as flavor

    model = catboost.CatBoostClassifier(iterations=20, logging_level="Silent", allow_writing_files=False)
    model.fit(frame[INPUTS], frame["y"])
    return model, lambda: flavor.log_model(model, name="m", pip_requirements=[])


def of_onnx(frame: pd.DataFrame) -> tuple[Any, Log]:
    from mlflow import onnx
    from skl2onnx import to_onnx

    model, rows = linear(frame), frame[INPUTS].astype("float32")
    graph = to_onnx(model, rows.to_numpy())
    return model, lambda: onnx.log_model(graph, name="m", pip_requirements=[], input_example=rows.head(3))


CODE = """
import numpy as np
from mlflow.pyfunc import PythonModel

class Model(PythonModel):
    def predict(self, context, model_input, params=None):
        print("hello", flush=True)
        second = 1 / (1 + np.exp(-(model_input[["x", "z"]].to_numpy() @ np.array({weights}) + {bias})))
        return np.column_stack([1 - second, second])
"""


def of_python_function(frame: pd.DataFrame) -> tuple[Any, Log]:
    model = linear(frame)
    code = CODE.format(weights=model.coef_[0].tolist(), bias=float(model.intercept_[0]))
    folder = Path(tempfile.mkdtemp())
    return model, lambda: of_code(folder, code, frame[INPUTS].head(3))


KINDS = {
    "skops": (of_skops, "LogisticRegression"),
    "xgboost": (of_xgboost, "XGBoost"),
    "lightgbm": (of_lightgbm, "LightGBM"),
    "catboost": (of_catboost, "CatBoost"),
    "onnx": (of_onnx, "ONNX"),
    "code": (of_python_function, "python_function"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_of_mlflow_alone_goes_into_production_over_ours_and_the_original_stays_as_it_was(
    shop: Shop, kind: str
) -> None:
    assert in_production(shop, kind)


def in_production(shop: Shop, kind: str) -> str:
    """The bento of a model that was taken in and went all the way, once; each step is looked at."""
    if kind in shop.made:
        return shop.made[kind]
    make, algorithm = KINDS[kind]
    work, held = shop.work, str(shop.folder / "held.parquet")
    fitted, log = make(shop.frame)
    theirs = logged_by_mlflow(work, log, f"of {kind}")
    original = Path(mlflow_client(work).get_logged_model(theirs.removeprefix("models:/")).artifact_location)
    before = everything_in(original)
    # Code does not say which of its scores is which.
    classes = ["0", "1"] if kind == "code" else []
    found = taken(work, shop.folder, model=theirs, classes=classes)
    expected = fitted.predict_proba(shop.frame[INPUTS])
    assert found.algorithm == algorithm
    assert np.allclose(answers(work, found.model, shop.frame), expected, atol=1e-6)
    evaluated(work, found.model, held)
    compared(shop, found.model, held)
    explained(shop, found.model)
    promoted(shop, kind, found.model, held)
    made = make_bento(work, PackageRequest(model=f"model:{kind}/2", name="", version="", batchable=False))
    require_whole(work, made.bento)
    assert made.bento.spec.features == find_model(work, found.model).card.features
    assert everything_in(original) == before
    return shop.made.setdefault(kind, made.bento.handle)


def evaluated(work: Work, model: str, held: str) -> None:
    request = EvaluateRequest(model=model, dataset=held, metric="auc", log=True)
    assert (evaluate_model(work, request).score.value or 0) > 0.9


def compared(shop: Shop, model: str, held: str) -> None:
    request = CompareRequest(
        dataset=str(shop.folder / "rows.parquet"), target="y", candidates=[model, shop.ours], metric="auc", test=held
    )
    made = compare_models(shop.work, request)
    scores = {each.candidate: each.score.value or 0 for each in made.candidates if each.score}
    assert scores[model] > scores[shop.ours] + 0.1


def explained(shop: Shop, model: str) -> None:
    """The rule of the rows has `x` count for more, and the contributions add up to the answers."""
    rows = str(shop.folder / "rows.parquet")
    told = explain_model(shop.work, ExplainRequest(model=model, dataset=rows, rows=40, label="", seed=0))
    assert [each.feature for each in told.importances] == INPUTS
    assert told.additivity_error < 1e-4
    one = explain_prediction(shop.work, model, {}, rows, 3, "1", 5)
    assert abs(one.base_value + sum(each.contribution for each in one.contributions) - one.margin) < 1e-4


def promoted(shop: Shop, name: str, model: str, held: str) -> None:
    client.register_model(shop.work, shop.ours, name, {}, "")
    stages.transition_stage(shop.work, f"model:{name}/1", "Production", True)
    request = PromoteRequest(
        name=name, candidate=model, dataset=held, metric="auc", min_gain=0, suite="", group="", gates=["comparison"]
    )
    done = promotion.promote_model(shop.work, request)
    assert (done.promoted, done.before, done.model) == (True, f"model:{name}/1", f"model:{name}/2")
    back = stages.rollback_model(shop.work, name)
    assert (back.model, back.archived) == (f"model:{name}/1", [f"model:{name}/2"])


def test_an_endpoint_of_a_graph_says_what_the_graph_says_and_onnxruntime_is_all_that_it_needs(shop: Shop) -> None:
    bento = in_production(shop, "onnx")
    request = DeployRequest(bento=bento, endpoint="graph", replicas=1, resources=Resources(memory="1Gi"), percent=100)
    serving.deploy_model(shop.work, request)
    rows = json.loads(shop.frame[INPUTS].head(20).to_json(orient="records"))
    answer = serving.predict(shop.work, "graph", rows)
    expected = linear(shop.frame).predict_proba(shop.frame[INPUTS].head(20))
    assert np.allclose(np.array(answer.probabilities), expected, atol=1e-5)
    assert answer.predictions == [*expected.argmax(axis=1)]
    spec = make_bento(shop.work, PackageRequest(model="model:onnx/2", name="", version="", batchable=False)).bento.spec
    assert any(each.startswith("onnxruntime==") for each in spec.packages)
    assert os.path.basename(spec.file) == "model.onnx"


def test_an_endpoint_of_code_answers_held_more_tightly_than_others(shop: Shop) -> None:
    request = DeployRequest(
        bento=in_production(shop, "code"), endpoint="code", replicas=1, resources=Resources(memory="1Gi"), percent=100
    )
    serving.deploy_model(shop.work, request)
    rows = json.loads(shop.frame[INPUTS].head(20).to_json(orient="records"))
    answer = serving.predict(shop.work, "code", rows)
    expected = linear(shop.frame).predict_proba(shop.frame[INPUTS].head(20))
    assert np.allclose(np.array(answer.probabilities), expected, atol=1e-6)
    served = endpoints.read(shop.work, "code").deployments[0]
    worker = psutil.Process(served.pid).children()[0]
    # Its system calls pass a filter (proc(5), Seccomp).
    assert "Seccomp:\t2" in Path(f"/proc/{worker.pid}/status").read_text()
    export = ExportRequest.model_validate({"platform": "docker", "name": "code", "traffic": {served.bento: 100}})
    with pytest.raises(ToolFailure, match="runs code of its maker"):
        export_deployment(shop.work, export)
