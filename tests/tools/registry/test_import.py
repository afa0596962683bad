"""Files of models, as models of ours."""

import pickle
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mlops_mcp.tools.errors import MissingArgument, ToolFailure
from mlops_mcp.tools.lineage import Lineage
from mlops_mcp.tools.modeling.store import find_model
from mlops_mcp.tools.registry import client
from mlops_mcp.tools.registry.models import LogRequest
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.tracking.client import end_run, get_run, search_runs, start_run
from mlops_mcp.tools.training.client import train_model
from mlops_mcp.tools.training.models import TrainRequest

from .imported import answers, laid_rows, linear, taken

pytestmark = pytest.mark.slow


@pytest.fixture
def frame(tmp_path: Path) -> pd.DataFrame:
    return laid_rows(tmp_path)


@pytest.mark.parametrize("suffix", [".ubj", ".json"])
def test_an_xgboost_file_answers_as_it_did_where_it_was_trained(
    work: Work, tmp_path: Path, frame: pd.DataFrame, suffix: str
) -> None:
    from xgboost import XGBClassifier

    trained = XGBClassifier(n_estimators=20).fit(frame[["x", "z"]], frame["y"])
    trained.save_model(tmp_path / f"model{suffix}")
    found = taken(work, tmp_path, f"model{suffix}", name="credit")
    assert (found.algorithm, found.registered, found.features) == ("XGBoost", "model:credit/1", ["x", "z"])
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
    found = taken(work, tmp_path, "model.skops", preprocessor=str(tmp_path / "scaler.skops"))
    expected = model.predict_proba(scaler.transform(frame[["x", "z"]]))
    assert np.allclose(answers(work, found.model, frame), expected, atol=1e-12)


def test_files_that_could_run_code_or_do_not_fit_are_refused(work: Work, tmp_path: Path, frame: pd.DataFrame) -> None:
    import skops.io
    from sklearn.preprocessing import StandardScaler

    (tmp_path / "model.pkl").write_bytes(pickle.dumps(linear(frame)))
    (tmp_path / "model.exe").write_bytes(b"")
    (tmp_path / "broken.ubj").write_bytes(b"{}")
    (tmp_path / "broken.lgb").write_bytes(b"tree\nTree=0\n")
    (tmp_path / "broken.skops").write_bytes(b"no zip")
    skops.io.dump({"run": pickle.Unpickler}, tmp_path / "evil.skops")
    skops.io.dump(StandardScaler().fit(frame[["x", "z"]]), tmp_path / "scaler.skops")
    skops.io.dump(linear(frame), tmp_path / "fits.skops")
    for name, says in (
        ("model.pkl", "allow_pickle"),
        ("model.exe", "no format that is opened"),
        ("broken.ubj", "no XGBoost model"),
        ("broken.lgb", "no text of LightGBM"),
        ("broken.skops", "no skops file"),
        ("evil.skops", "not trusted"),
        ("scaler.skops", "does not predict"),
    ):
        with pytest.raises(ToolFailure, match=says):
            taken(work, tmp_path, name)
    with pytest.raises(ToolFailure, match="unknown column"):
        taken(work, tmp_path, "fits.skops", dataset=str(renamed(frame, tmp_path)))
    with pytest.raises(ToolFailure, match="one model is imported"):
        taken(work, tmp_path, "")


def renamed(frame: pd.DataFrame, tmp_path: Path) -> Path:
    frame.rename(columns={"x": "other"}).to_parquet(tmp_path / "renamed.parquet")
    return tmp_path / "renamed.parquet"


def test_an_ended_run_takes_no_model_and_a_bad_name_is_refused_before_the_run(
    work: Work, tmp_path: Path, frame: pd.DataFrame
) -> None:
    import skops.io

    skops.io.dump(linear(frame), tmp_path / "model.skops")
    run = start_run(work, "other", "", {}).run
    end_run(work, run, "FINISHED")
    with pytest.raises(ToolFailure, match="start_run opens a new one"):
        taken(work, tmp_path, "model.skops", run=run)
    with pytest.raises(ToolFailure, match="cannot name a model"):
        taken(work, tmp_path, "model.skops", name="a/b")
    assert [line.run for line in search_runs(work, "", "", "", 10, "").items] == [run]
    assert get_run(work, run).models == []


def test_what_a_model_predicts_is_told_by_its_dataset_or_asked_for(
    work: Work, tmp_path: Path, frame: pd.DataFrame
) -> None:
    import skops.io

    skops.io.dump(linear(frame), tmp_path / "model.skops")
    found = taken(work, tmp_path, "model.skops", target="")
    assert (found.target, found.notes[0].startswith("target y:")) == ("y", True)
    frame.assign(other=1).to_parquet(tmp_path / "more.parquet")
    with pytest.raises(MissingArgument, match="Pass `target`") as raised:
        taken(work, tmp_path, "model.skops", target="", dataset=str(tmp_path / "more.parquet"))
    assert raised.value.choices == ("y", "other")


def test_classes_that_the_model_numbers_are_asked_for_and_those_it_names_are_kept(
    work: Work, tmp_path: Path, frame: pd.DataFrame
) -> None:
    import skops.io
    from xgboost import XGBClassifier

    named = frame.assign(y=frame["y"].map({0: "zero", 1: "one"}))
    named.to_parquet(tmp_path / "rows.parquet")
    skops.io.dump(linear(named), tmp_path / "named.skops")
    found = taken(work, tmp_path, "named.skops")
    assert found.classes == ["one", "zero"]
    assert np.allclose(answers(work, found.model, frame), linear(named).predict_proba(frame[["x", "z"]]))
    with pytest.raises(ToolFailure, match="names its classes itself"):
        taken(work, tmp_path, "named.skops", classes=["zero", "one"])
    trained = XGBClassifier(n_estimators=5).fit(frame[["x", "z"]], frame["y"])
    trained.save_model(tmp_path / "model.ubj")
    with pytest.raises(MissingArgument, match="numbers its classes") as raised:
        taken(work, tmp_path, "model.ubj")
    assert raised.value.choices == ('["one", "zero"]', '["zero", "one"]')
    assert taken(work, tmp_path, "model.ubj", classes=["zero", "one"]).classes == ["zero", "one"]
    for wrong in (["zero"], ["zero", "zero"], ["zero", "two"]):
        with pytest.raises(ToolFailure):
            taken(work, tmp_path, "model.ubj", classes=wrong)


def test_a_model_that_has_a_card_is_not_imported(work: Work, tmp_path: Path, frame: pd.DataFrame) -> None:
    import skops.io

    skops.io.dump(linear(frame), tmp_path / "model.skops")
    ours = taken(work, tmp_path, "model.skops").model
    with pytest.raises(ToolFailure, match="has a card already"):
        taken(work, tmp_path, model=ours)


def test_an_imported_model_is_logged_in_another_run(work: Work, tmp_path: Path, frame: pd.DataFrame) -> None:
    import skops.io

    skops.io.dump(linear(frame), tmp_path / "model.skops")
    first = taken(work, tmp_path, "model.skops")
    run = start_run(work, "other", "", {}).run
    again = client.log_model(work, LogRequest(model=first.model, run=run, name=""))
    assert again.model != first.model
    assert get_run(work, run).models == [again.model]
    assert np.array_equal(answers(work, again.model, frame), answers(work, first.model, frame))


def test_a_run_of_its_own_ends_as_failed_if_the_store_takes_no_model(
    work: Work, tmp_path: Path, frame: pd.DataFrame
) -> None:
    """The folder of the experiment's artifacts is a file by then; the store itself still answers."""
    import skops.io

    skops.io.dump(linear(frame), tmp_path / "model.skops")
    first = taken(work, tmp_path, "model.skops", run=start_run(work, "elsewhere", "", {}).run)
    place, root = find_model(work, taken(work, tmp_path, "model.skops").model).folder, Path(work.settings.artifact_root)
    artifacts = root / place.relative_to(root).parts[0]
    trained = {"dataset": str(tmp_path / "rows.parquet"), "target": "y", "algorithm": "LogisticRegression"}
    shutil.rmtree(artifacts)
    artifacts.touch()
    for attempt in (
        lambda: taken(work, tmp_path, "model.skops"),
        lambda: client.log_model(work, LogRequest(model=first.model, run="", name="")),
        lambda: train_model(work, TrainRequest.model_validate(trained)),
    ):
        with pytest.raises((OSError, ToolFailure)):
            attempt()
        newest = search_runs(work, "", "", "", 1, "").items[0]
        assert (newest.status, newest.run != first.run) == ("FAILED", True)
    given = start_run(work, "", "", {}).run
    with pytest.raises((OSError, ToolFailure)):
        taken(work, tmp_path, "model.skops", run=given)
    # Whose run it is ends it.
    assert get_run(work, given).status == "RUNNING"
