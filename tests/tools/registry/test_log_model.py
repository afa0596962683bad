import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.lineage import Lineage
from mlops_mcp.tools.modeling.frame import design
from mlops_mcp.tools.modeling.store import find_model, load_pipeline
from mlops_mcp.tools.registry import client, stages
from mlops_mcp.tools.registry.models import LoggedModel, LogRequest
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.tracking.client import end_run, get_run, search_runs, start_run

pytestmark = pytest.mark.slow


@pytest.fixture
def frame(tmp_path: Path) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=300), "z": rng.normal(size=300)})
    frame = frame.assign(y=(frame["x"] + 0.3 * frame["z"] > 0).astype(int))
    frame.to_parquet(tmp_path / "rows.parquet")
    return frame


def log(work: Work, tmp_path: Path, file: str, **changes: str) -> LoggedModel:
    request = {
        "model": "",
        "path": str(tmp_path / file) if file else "",
        "preprocessor": "",
        "dataset": str(tmp_path / "rows.parquet"),
        "target": "y",
        "run": "",
        "name": "",
    }
    return client.log_model(work, LogRequest.model_validate(request | changes))


def answers(work: Work, model: str, frame: pd.DataFrame) -> np.ndarray:
    stored = find_model(work, model)
    return np.asarray(load_pipeline(stored).predict_proba(design(frame, stored.card)))


@pytest.mark.parametrize("suffix", [".ubj", ".json"])
def test_an_xgboost_file_answers_as_it_did_where_it_was_trained(
    work: Work, tmp_path: Path, frame: pd.DataFrame, suffix: str
) -> None:
    from xgboost import XGBClassifier

    trained = XGBClassifier(n_estimators=20).fit(frame[["x", "z"]], frame["y"])
    trained.save_model(tmp_path / f"model{suffix}")
    logged = log(work, tmp_path, f"model{suffix}", name="credit")
    assert (logged.algorithm, logged.registered, logged.features) == ("XGBoost", "model:credit/1", ["x", "z"])
    assert np.allclose(answers(work, "model:credit/1", frame), trained.predict_proba(frame[["x", "z"]]), atol=1e-9)
    parents = [edge.parent for edge in Lineage(work.home).ancestors("model:credit/1")]
    assert f"file:{tmp_path / f'model{suffix}'}" in parents


def test_a_preprocessor_and_a_model_become_one(work: Work, tmp_path: Path, frame: pd.DataFrame) -> None:
    import skops.io
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(frame[["x", "z"]])
    model = LogisticRegression().fit(scaler.transform(frame[["x", "z"]]), frame["y"])
    skops.io.dump(scaler, tmp_path / "scaler.skops")
    skops.io.dump(model, tmp_path / "model.skops")
    logged = log(work, tmp_path, "model.skops", preprocessor=str(tmp_path / "scaler.skops"))
    expected = model.predict_proba(scaler.transform(frame[["x", "z"]]))
    assert np.allclose(answers(work, logged.model, frame), expected, atol=1e-12)


def test_a_trained_model_is_logged_in_another_run(work: Work, tmp_path: Path, frame: pd.DataFrame) -> None:
    from xgboost import XGBClassifier

    XGBClassifier(n_estimators=5).fit(frame[["x", "z"]], frame["y"]).save_model(tmp_path / "model.ubj")
    first = log(work, tmp_path, "model.ubj")
    run = start_run(work, "other", "", {}).run
    again = log(work, tmp_path, "", model=first.model, run=run, dataset="", target="")
    assert again.model != first.model
    assert get_run(work, run).models == [again.model]
    assert np.array_equal(answers(work, again.model, frame), answers(work, first.model, frame))


def test_files_that_could_run_code_or_do_not_fit_are_refused(work: Work, tmp_path: Path, frame: pd.DataFrame) -> None:
    import skops.io
    from sklearn.linear_model import LogisticRegression

    (tmp_path / "model.pkl").write_bytes(pickle.dumps(LogisticRegression()))
    (tmp_path / "broken.ubj").write_bytes(b"{}")
    (tmp_path / "broken.skops").write_bytes(b"no zip")
    skops.io.dump({"run": pickle.Unpickler}, tmp_path / "evil.skops")
    other = frame.rename(columns={"x": "a"})
    skops.io.dump(LogisticRegression().fit(other[["a", "z"]], other["y"]), tmp_path / "other.skops")
    labels = frame["y"].map({0: "no", 1: "yes"})
    skops.io.dump(LogisticRegression().fit(frame[["x", "z"]], labels), tmp_path / "labels.skops")
    for name, says in (
        ("model.pkl", "no pickles"),
        ("broken.ubj", "no XGBoost model"),
        ("broken.skops", "no skops file"),
        ("evil.skops", "not trusted"),
        ("other.skops", "unknown column"),
        ("labels.skops", "Encode the labels"),
    ):
        with pytest.raises(ToolFailure, match=says):
            log(work, tmp_path, name)
    with pytest.raises(ToolFailure, match="one model is logged"):
        log(work, tmp_path, "")
    with pytest.raises(ToolFailure, match="what it predicts"):
        log(work, tmp_path, "other.skops", dataset="")


def test_an_ended_run_takes_no_model_and_a_bad_name_is_refused_before_the_run(
    work: Work, tmp_path: Path, frame: pd.DataFrame
) -> None:
    from xgboost import XGBClassifier

    XGBClassifier(n_estimators=5).fit(frame[["x", "z"]], frame["y"]).save_model(tmp_path / "model.ubj")
    run = start_run(work, "other", "", {}).run
    end_run(work, run, "FINISHED")
    with pytest.raises(ToolFailure, match="start_run opens a new one"):
        log(work, tmp_path, "model.ubj", run=run)
    with pytest.raises(ToolFailure, match="cannot name a model"):
        log(work, tmp_path, "model.ubj", name="a/b")
    assert [line.run for line in search_runs(work, "", "", "", 10, "").items] == [run]
    assert get_run(work, run).models == []


def test_an_effect_model_is_registered_and_checked_and_not_packaged(
    work: Work, tmp_path: Path, frame: pd.DataFrame
) -> None:
    from mlops_mcp.tools.causal.client import estimate_effect
    from mlops_mcp.tools.causal.models import EffectRequest

    rng = np.random.default_rng(1)
    treated = rng.integers(0, 2, len(frame))
    frame.assign(t=treated, out=frame["x"] + 2 * treated).to_parquet(tmp_path / "effect.parquet")
    request = {"dataset": str(tmp_path / "effect.parquet"), "treatment": "t", "outcome": "out", "controls": ["z"]}
    more = {"effect_modifiers": ["x"], "estimator": "LinearDML", "params": {}, "run": "", "experiment": ""}
    found = estimate_effect(work, EffectRequest.model_validate(request | more | {"seed": 0}))
    version = client.register_model(work, found.model, "effects", {}, "")
    check = client.get_model(work, version.model, 5, True).check
    assert check is not None
    assert all(isinstance(value, float) and abs(value - 2) < 1 for value in check.predictions)
    with pytest.raises(ToolFailure, match="effect"):
        find_model(work, version.model)


def test_a_model_of_mlflow_alone_is_taken_in_with_its_dataset_and_target(
    work: Work, tmp_path: Path, frame: pd.DataFrame
) -> None:
    from sklearn.linear_model import LogisticRegression
    from xgboost import XGBClassifier

    features = frame[["x", "z"]]
    for name, model in (("linear", LogisticRegression()), ("trees", XGBClassifier(n_estimators=5))):
        fitted = model.fit(features, frame["y"])
        uri = logged_by_mlflow(work, fitted, name)
        with pytest.raises(ToolFailure, match=r"no card says what it takes.*log_model\(model='models:/m-"):
            find_model(work, uri)
        taken = log(work, tmp_path, "", model=uri, name=name)
        assert (taken.registered, taken.features) == (f"model:{name}/1", ["x", "z"])
        assert np.allclose(answers(work, taken.model, frame), fitted.predict_proba(features), atol=1e-9)
        assert uri in [edge.parent for edge in Lineage(work.home).ancestors(taken.model)]
        assert stages.transition_stage(work, f"model:{name}/1", "Production", True).alias == "production"


def test_a_pickle_of_mlflow_alone_is_refused_with_the_ways_to_log_it(
    work: Work, tmp_path: Path, frame: pd.DataFrame
) -> None:
    from sklearn.linear_model import LogisticRegression

    fitted = LogisticRegression().fit(frame[["x", "z"]], frame["y"])
    uri = logged_by_mlflow(work, fitted, "pickled", "cloudpickle")
    for attempt in (lambda: find_model(work, uri), lambda: log(work, tmp_path, "", model=uri)):
        with pytest.raises(
            ToolFailure, match=r"no format that is safe to load .*model.pkl.*serialization_format='skops'"
        ):
            attempt()


def test_a_model_that_has_a_card_takes_no_dataset(work: Work, tmp_path: Path, frame: pd.DataFrame) -> None:
    from xgboost import XGBClassifier

    XGBClassifier(n_estimators=5).fit(frame[["x", "z"]], frame["y"]).save_model(tmp_path / "model.ubj")
    ours = log(work, tmp_path, "model.ubj").model
    with pytest.raises(ToolFailure, match="Leave both out"):
        log(work, tmp_path, "", model=ours)


def logged_by_mlflow(work: Work, model: object, name: str, form: str = "skops") -> str:
    """The address of a model that MLflow alone has logged, in an experiment whose files lie in the state folder."""
    import mlflow
    from mlflow import sklearn, xgboost

    start_run(work, "theirs", "", {})
    mlflow.set_experiment("theirs")
    with mlflow.start_run():
        if type(model).__module__.startswith("xgboost"):
            return xgboost.log_model(model, name=name, pip_requirements=[]).model_uri
        return sklearn.log_model(model, name=name, serialization_format=form, pip_requirements=[]).model_uri
