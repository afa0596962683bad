"""Models of plain MLflow: shown, and taken in as models of ours."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.lineage import Lineage
from mlops_mcp.tools.modeling.store import find_model
from mlops_mcp.tools.registry import client, stages
from mlops_mcp.tools.registry.models import ForeignModel
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.tracking.backend import mlflow_client
from mlops_mcp.tools.tracking.client import search_runs, start_run

from .imported import allowing, answers, everything_in, laid_rows, linear, logged_by_mlflow, of_sklearn, taken

pytestmark = pytest.mark.slow
# A few lines that stand for a million values.
BOMB = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}' if n else 'x'] * 10)}]" for n in range(6)]
Trained = Callable[[pd.DataFrame], Any]


@pytest.fixture
def frame(tmp_path: Path) -> pd.DataFrame:
    return laid_rows(tmp_path)


def forest(frame: pd.DataFrame) -> Any:
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    model = Pipeline([("pre", StandardScaler()), ("forest", RandomForestRegressor(5, random_state=0))])
    model.fit(frame[["x", "z"]], frame["y"])
    example = frame[["x", "z"]].head(3)
    trusted = ["sklearn.tree._tree.Tree"]
    return model, lambda: of_sklearn(model, input_example=example, skops_trusted_types=trusted)


def logistic(frame: pd.DataFrame) -> Any:
    model = linear(frame)
    return model, lambda: of_sklearn(model)


def xgboost_classifier(frame: pd.DataFrame) -> Any:
    from mlflow import xgboost
    from xgboost import XGBClassifier

    model = XGBClassifier(n_estimators=5).fit(frame[["x", "z"]], frame["y"])
    return model, lambda: xgboost.log_model(model, name="m", pip_requirements=[])


def lightgbm_booster(frame: pd.DataFrame) -> Any:
    import lightgbm
    from mlflow import lightgbm as flavor

    rows = lightgbm.Dataset(frame[["x", "z"]], frame["y"])
    booster = lightgbm.train({"objective": "binary", "verbose": -1, "num_threads": 1}, rows, 5)
    return Both(booster), lambda: flavor.log_model(booster, name="m", pip_requirements=[])


def lightgbm_regressor(frame: pd.DataFrame) -> Any:
    import lightgbm
    from mlflow import lightgbm as flavor

    rows = lightgbm.Dataset(frame[["x"]].assign(z=frame["z"]), frame["z"])
    booster = lightgbm.train({"objective": "regression", "verbose": -1, "num_threads": 1}, rows, 5)
    return booster, lambda: flavor.log_model(booster, name="m", pip_requirements=[])


class Both:
    """A booster of two classes, which gives the score of the second alone."""

    def __init__(self, booster: Any) -> None:
        self._booster = booster

    def predict_proba(self, rows: pd.DataFrame) -> np.ndarray:
        second = self._booster.predict(rows)
        return np.column_stack([1 - second, second])


@pytest.mark.parametrize(
    ("trained", "algorithm"),
    [
        (forest, "RandomForest"),
        (xgboost_classifier, "XGBoost"),
        (lightgbm_booster, "LightGBM"),
        (lightgbm_regressor, "LightGBM"),
    ],
)
def test_a_model_of_mlflow_alone_answers_as_before_and_stays_as_it_was(
    work: Work, tmp_path: Path, frame: pd.DataFrame, trained: Trained, algorithm: str
) -> None:
    import mlflow

    fitted, log = trained(frame)
    uri = logged_by_mlflow(work, log)
    registered = mlflow.register_model(uri, "theirs")
    mlflow_client(work).set_registered_model_alias("theirs", "best", registered.version)
    folder = Path(mlflow_client(work).get_logged_model(uri.removeprefix("models:/")).artifact_location)
    before = everything_in(folder), dict(mlflow_client(work).get_model_version("theirs", "1"))
    with pytest.raises(ToolFailure, match=r"no card says what it takes.*import_model\(model='model:theirs@best'"):
        find_model(work, "model:theirs@best")
    found = taken(work, tmp_path, model="model:theirs@best", name="ours")
    predict = fitted.predict_proba if found.classes else fitted.predict
    assert (found.algorithm, found.features, found.source) == (algorithm, ["x", "z"], "model:theirs/1")
    assert np.allclose(answers(work, "model:ours/1", frame), predict(frame[["x", "z"]]), atol=1e-6)
    assert "model:theirs/1" in [edge.parent for edge in Lineage(work.home).ancestors(found.model)]
    assert stages.transition_stage(work, "model:ours/1", "Production", True).alias == "production"
    assert (everything_in(folder), dict(mlflow_client(work).get_model_version("theirs", "1"))) == before


def test_the_input_example_is_what_a_model_is_tried_on(work: Work, tmp_path: Path, frame: pd.DataFrame) -> None:
    uri = logged_by_mlflow(work, forest(frame)[1])
    assert taken(work, tmp_path, model=uri).checked == "3 rows of its input example: the same answers as before"


def test_a_model_that_answers_otherwise_here_is_not_taken_in_and_leaves_nothing(
    work: Work, tmp_path: Path, frame: pd.DataFrame
) -> None:
    """It knows None as a level; here every hole is the same, which is none of its levels."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder

    rows = pd.DataFrame({"c": frame["y"].map({1: "a", 0: None}).astype(object), "y": frame["y"]})
    rows.to_parquet(tmp_path / "rows.parquet")
    model = Pipeline([("pre", OneHotEncoder(handle_unknown="ignore")), ("model", LogisticRegression())])
    model.fit(rows[["c"]], rows["y"])
    uri = logged_by_mlflow(work, lambda: of_sklearn(model, input_example=rows[["c"]].head(20)))
    runs = search_runs(work, "", "", "", 50, "").items
    with pytest.raises(ToolFailure, match="answers otherwise"):
        taken(work, tmp_path, model=uri)
    assert search_runs(work, "", "", "", 50, "").items == runs


def test_scores_that_are_no_shares_are_refused(work: Work, tmp_path: Path, frame: pd.DataFrame) -> None:
    from mlflow import xgboost as flavor
    from xgboost import DMatrix, train

    booster = train({"objective": "binary:logitraw"}, DMatrix(frame[["x", "z"]], frame["y"]), 5)
    uri = logged_by_mlflow(work, lambda: flavor.log_model(booster, name="m", pip_requirements=[]))
    with pytest.raises(ToolFailure, match="no shares"):
        taken(work, tmp_path, model=uri)


def test_a_model_of_a_run_of_mlflow_2_and_one_copied_by_the_registry_are_found(
    work: Work, tmp_path: Path, frame: pd.DataFrame
) -> None:
    """MLflow 2 laid models among the artifacts of a run and registered the address of that folder."""
    from mlflow import sklearn

    run = start_run(work, "two", "", {}).run.removeprefix("run:")
    client_of = mlflow_client(work)
    sklearn.save_model(linear(frame), str(tmp_path / "saved"), serialization_format="skops", pip_requirements=[])
    client_of.log_artifacts(run, str(tmp_path / "saved"), "model")
    client_of.set_tag(run, "mlflow.log-model.history", json.dumps([{"artifact_path": "model", "run_id": run}]))
    client_of.create_registered_model("two")
    address = f"{client_of.get_run(run).info.artifact_uri}/model"
    client_of.create_model_version("two", address, run)
    client_of.create_model_version("two", f"runs:/{run}/model", run)
    client_of.copy_model_version("models:/two/1", "copied")
    expected = linear(frame).predict_proba(frame[["x", "z"]])
    for reference in (f"run:{run}", "model:two/1", "model:two/2", "model:copied/1"):
        assert np.allclose(answers(work, taken(work, tmp_path, model=reference).model, frame), expected), reference
    with pytest.raises(ToolFailure, match=r"import_model\(model='model:two/1'"):
        find_model(work, "model:two/1")


def test_an_address_outside_of_the_folders_for_artifacts_is_not_opened(
    work: Work, tmp_path: Path, frame: pd.DataFrame
) -> None:
    client_of = mlflow_client(work)
    client_of.create_registered_model("away")
    for source in ("/etc", "runs:/0/../..", "http://evil.test/model", "models:/away/1"):
        client_of.create_model_version("away", source)
    for version in range(1, 5):
        with pytest.raises(ToolFailure):
            taken(work, tmp_path, model=f"model:away/{version}")


def test_a_pickle_is_taken_in_only_where_the_administrator_allows_it_and_holds_no_other_class(
    work: Work, tmp_path: Path, frame: pd.DataFrame
) -> None:
    from sklearn.svm import SVC

    uri = logged_by_mlflow(work, lambda: of_sklearn(linear(frame), "cloudpickle"))
    with pytest.raises(ToolFailure, match=r"allow_pickle \(MLOPS_MLFLOW__ALLOW_PICKLE\)"):
        taken(work, tmp_path, model=uri)
    found = taken(allowing(work), tmp_path, model=uri, name="unpickled")
    # What is kept is no pickle: it opens where none are allowed.
    assert np.allclose(answers(work, found.model, frame), linear(frame).predict_proba(frame[["x", "z"]]))
    (tmp_path / "other.pkl").write_bytes(pickle.dumps(SVC().fit(frame[["x", "z"]], frame["y"])))
    (tmp_path / "none.pkl").write_bytes(b"\x80\x05nothing")
    for name, says in (("other.pkl", "not trusted"), ("none.pkl", "no pickle of a model")):
        with pytest.raises(ToolFailure, match=says):
            taken(allowing(work), tmp_path, name)
    # What MLflow knows how to load is asked as code instead, in a process of its own.
    other = SVC().fit(frame[["x", "z"]], frame["y"])
    example = frame[["x", "z"]].head(3)
    uri = logged_by_mlflow(work, lambda: of_sklearn(other, "cloudpickle", input_example=example))
    found = taken(allowing(work), tmp_path, model=uri)
    assert (found.algorithm, found.classes) == ("python_function", [0, 1])
    assert found.notes == ["it names the class alone: its shares are 0 and 1"]
    assert [*answers(work, found.model, frame).argmax(axis=1)] == [*other.predict(frame[["x", "z"]])]


def test_a_model_of_catboost_is_taken_in_under_the_seal_of_this_installation(
    work: Work, tmp_path: Path, frame: pd.DataFrame
) -> None:
    import catboost
    from mlflow import catboost as flavor

    texts = frame.assign(y=frame["y"].map({0: "no", 1: "yes"}))
    texts.to_parquet(tmp_path / "rows.parquet")
    model = catboost.CatBoostClassifier(iterations=5, logging_level="Silent", allow_writing_files=False)
    model.fit(texts[["x", "z"]], texts["y"])
    uri = logged_by_mlflow(work, lambda: flavor.log_model(model, name="m", pip_requirements=[]))
    with pytest.raises(ToolFailure, match="allow_pickle"):
        taken(work, tmp_path, model=uri)
    found = taken(allowing(work), tmp_path, model=uri)
    assert (found.algorithm, found.classes) == ("CatBoost", ["no", "yes"])
    assert find_model(work, found.model).sealed
    assert np.allclose(answers(work, found.model, frame), model.predict_proba(frame[["x", "z"]]))


def test_a_version_of_mlflow_alone_is_shown_with_what_it_says_of_itself(
    work: Work, tmp_path: Path, frame: pd.DataFrame
) -> None:
    import mlflow
    from mlflow.models import infer_signature
    from mlflow.pyfunc import log_model
    from mlflow.pyfunc.model import PythonModel

    rows = frame[["x", "z"]].head(3)
    fitted = linear(frame)
    signature = infer_signature(rows, fitted.predict(rows))
    logs = {
        "skops": lambda: of_sklearn(fitted, signature=signature, input_example=rows),
        "pickled": lambda: of_sklearn(fitted, "cloudpickle"),
        "code": lambda: log_model(name="m", python_model=PythonModel(), pip_requirements=[]),
    }
    seen: dict[str, ForeignModel] = {}
    for name, log in logs.items():
        mlflow.register_model(logged_by_mlflow(work, log), name)
        shown = client.get_model(work, f"model:{name}/1", 5, False)
        assert "import_model" in shown.notes[0]
        assert shown.foreign is not None
        assert shown.foreign.owner
        seen[name] = shown.foreign
    assert (sorted(seen["skops"].flavors), seen["skops"].refused) == (["python_function", "sklearn"], None)
    assert (seen["skops"].inputs, seen["skops"].example) == ({"x": "double", "z": "double"}, True)
    assert list(seen["skops"].outputs) == ["0"]
    assert "allow_pickle" in str(seen["pickled"].refused)
    assert "model.pkl" in seen["pickled"].files
    assert "python_function" in str(seen["code"].refused)


def test_a_description_that_is_broken_or_leads_away_is_told(work: Work, tmp_path: Path, frame: pd.DataFrame) -> None:
    import mlflow

    uri = logged_by_mlflow(work, lambda: of_sklearn(linear(frame)))
    mlflow.register_model(uri, "broken")
    folder = Path(mlflow_client(work).get_logged_model(uri.removeprefix("models:/")).artifact_location)
    for content, says in (
        ("flavors: [", "cannot be read"),
        ("flavors: {sklearn: {pickled_model: ../../../mlflow.db}}", "does not hold"),
        ("flavors: {sklearn: {pickled_model: /etc/passwd}}", "does not hold"),
        ("flavors: {}", "no flavor"),
        ("- 1", "cannot be read"),
        ("\n".join(BOMB), "cannot be read"),
    ):
        (folder / "MLmodel").write_text(content)
        shown = client.get_model(work, "model:broken/1", 5, False).foreign
        assert shown is not None
        assert says in str(shown.refused)
        with pytest.raises(ToolFailure, match=says):
            taken(work, tmp_path, model=uri)
