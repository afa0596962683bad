import socket
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlops_mcp.config.load import load
from mlops_mcp.tools.data.store import resolve
from mlops_mcp.tools.errors import ToolFailure, Unavailable
from mlops_mcp.tools.explain.client import explain_prediction
from mlops_mcp.tools.lineage import Lineage
from mlops_mcp.tools.modeling.frame import design
from mlops_mcp.tools.modeling.record import RECORD_FILE, read_record
from mlops_mcp.tools.modeling.store import find_model, load_pipeline
from mlops_mcp.tools.registry.client import log_model, register_model
from mlops_mcp.tools.registry.models import LogRequest
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.serving.bentos import make_bento
from mlops_mcp.tools.serving.models import PackageRequest
from mlops_mcp.tools.tracing.span import Tracer
from mlops_mcp.tools.tracking.client import get_run, start_run
from mlops_mcp.tools.training import keeping
from mlops_mcp.tools.training.client import evaluate_model, train_model
from mlops_mcp.tools.training.models import EvaluateRequest, ReproduceRequest, Trained, TrainRequest
from mlops_mcp.tools.training.reproduce import reproduce_run

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("fitted_once")]


@pytest.fixture
def rows(tmp_path: Path) -> pd.DataFrame:
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"a": random.normal(size=240), "k": random.choice(["x", "y"], 240)})
    frame["y"] = (frame["a"] + random.normal(0, 0.5, 240) > 0).astype(int)
    frame.head(200).to_parquet(tmp_path / "rows.parquet")
    frame.tail(40).to_parquet(tmp_path / "test.parquet")
    return frame


def train(work: Work, folder: Path, **more: Any) -> Trained:
    asked: dict[str, Any] = {
        "dataset": str(folder / "rows.parquet"),
        "target": "y",
        "algorithm": "LogisticRegression",
        "params": {"C": 0.5},
        "seed": 3,
    }
    return train_model(work, TrainRequest.model_validate(asked | more))


def evaluate(work: Work, folder: Path, model: str) -> float | None:
    request = EvaluateRequest(model=model, dataset=str(folder / "test.parquet"), metric="auc", log=True)
    return evaluate_model(work, request).score.value


def log(work: Work, model: str, **more: str) -> Any:
    parts = dict.fromkeys(("run", "name"), "")
    return log_model(work, LogRequest(model=model, **parts | more))


@pytest.fixture
def away(work: Work) -> Work:
    """The same installation, while the tracking server is not there."""
    with socket.create_server(("127.0.0.1", 0)) as once:
        port = once.getsockname()[1]
    variables = {"MLOPS_HOME": str(work.home), "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{port}"}
    roots = [str(root) for root in work.settings.data.roots]
    return Work(load(variables, {"data.roots": roots}).settings, Tracer(lambda _span: None))


def test_without_mlflow_a_model_is_kept_used_and_later_logged_with_all_it_knows(
    work: Work, away: Work, tmp_path: Path, rows: pd.DataFrame
) -> None:
    kept = train(away, tmp_path, validation=str(tmp_path / "test.parquet"), experiment="credit")
    assert kept.model.startswith("local:logisticregression_")
    assert kept.run is None
    assert "does not answer" in kept.notes[0]
    assert f"log_model(model={kept.model!r})" in kept.notes[0]
    score = evaluate(away, tmp_path, kept.model)
    assert explain_prediction(away, kept.model, {"a": 1.0, "k": "x"}, "", 0, "", 5).predicted == "1"
    with pytest.raises(ToolFailure, match=r"not logged yet.*log_model"):
        register_model(work, kept.model, "credit", {}, "")
    logged = log(work, kept.model, name="credit")
    run = get_run(work, logged.run)
    assert (run.experiment, run.name, run.status) == ("credit", "train LogisticRegression", "FINISHED")
    assert (run.params["C"], run.params["seed"]) == ("0.5", "3")
    assert (run.metrics["test_auc"], run.metrics["validation_auc"]) == (score, (kept.validation or {})["auc"])
    assert run.tags["dataset"] == find_model(work, logged.model).card.dataset
    ancestors = {edge.parent for edge in Lineage(work.home).ancestors("model:credit/1")}
    assert {kept.model, run.tags["dataset"], f"file:{tmp_path / 'rows.parquet'}"} <= ancestors
    before, now = (find_model(*asked) for asked in ((away, kept.model), (work, logged.model)))
    features = design(rows, now.card)
    answers = [load_pipeline(model).predict_proba(features) for model in (before, now)]
    assert np.array_equal(*answers)
    assert evaluate(work, tmp_path, logged.model) == score
    assert (before.uri, find_model(work, kept.model).uri) == (kept.model, logged.model)
    assert register_model(work, kept.model, "credit", {}, "").model == "model:credit/1"


def test_a_kept_model_is_packaged(away: Work, tmp_path: Path, rows: pd.DataFrame) -> None:
    kept = train(away, tmp_path)
    made = make_bento(away, PackageRequest(model=kept.model, name="", version="", batchable=False))
    assert (made.built, made.model) == (True, kept.model)


def test_mlflow_that_dies_while_a_model_is_fitted_costs_no_model(
    work: Work, tmp_path: Path, rows: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dead(*_arguments: object) -> None:
        raise Unavailable("the MLflow server went away", "")

    monkeypatch.setattr(keeping, "log_run", dead)
    kept = train(work, tmp_path)
    assert kept.model.startswith("local:")
    assert kept.notes[0].startswith("not logged: the MLflow server went away")


def test_without_the_library_a_model_is_kept_too(
    work: Work, tmp_path: Path, rows: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    kept = train(work, tmp_path)
    assert "mlflow is not installed" in kept.notes[0]
    assert evaluate(work, tmp_path, kept.model) is not None


def test_a_run_that_has_ended_and_an_unknown_local_model_are_errors_all_the_same(
    work: Work, away: Work, tmp_path: Path, rows: pd.DataFrame
) -> None:
    from mlops_mcp.tools.tracking.client import end_run

    run = start_run(work, "", "", {}).run
    end_run(work, run, "FINISHED")
    with pytest.raises(ToolFailure, match="has ended"):
        train(work, tmp_path, run=run)
    kept = train(away, tmp_path, run=run)
    with pytest.raises(ToolFailure, match=f"Did you mean {kept.model}"):
        find_model(away, kept.model[:-2])
    with pytest.raises(Unavailable, match=r"Meanwhile .*train_model keeps models here.*evaluate_model"):
        find_model(away, "model:credit/1")
    (away.home / "models" / kept.model.removeprefix("local:") / "model.skops").write_bytes(b"other")
    with pytest.raises(ToolFailure, match="not the one that was saved"):
        find_model(away, kept.model)


@pytest.mark.parametrize(
    ("algorithm", "params"), [("LogisticRegression", {"C": 0.5}), ("XGBoost", {"n_estimators": 20})]
)
def test_a_run_is_reproduced_to_the_bit(
    work: Work, tmp_path: Path, rows: pd.DataFrame, algorithm: str, params: dict[str, Any]
) -> None:
    first = train(work, tmp_path, algorithm=algorithm, params=params, validation=str(tmp_path / "test.parquet"))
    found = reproduce_run(work, ReproduceRequest(run=first.run or ""))
    assert (found.identical, found.largest_difference, found.scores, found.differs) == (True, 0.0, {}, [])
    assert found.rows == 240
    assert found.again not in (None, first.run)
    assert found.undo == f"delete(handle={[found.model, found.again]!r}, dry_run=false)"
    assert get_run(work, found.again or "").metrics == get_run(work, first.run or "").metrics


def test_what_is_not_the_same_any_more_is_said_with_how_much_it_matters(
    work: Work, tmp_path: Path, rows: pd.DataFrame
) -> None:
    first = train(work, tmp_path)
    folder = find_model(work, first.model).folder
    record = read_record(folder)
    assert record is not None
    changed = record.request | {"params": {"C": 0.001}}
    record.model_copy(
        update={"request": changed, "versions": record.versions | {"numpy": "1.0"}, "machine": "Plan 9", "threads": 99}
    ).write(folder)
    found = reproduce_run(work, ReproduceRequest(run=first.run or ""))
    again = find_model(work, found.model)
    features = design(rows.head(200), again.card)
    answers = [load_pipeline(find_model(work, model)).predict_proba(features) for model in (first.model, found.model)]
    assert not found.identical
    assert found.largest_difference == np.abs(answers[0] - answers[1]).max()
    assert found.scores["train_log_loss"][0] == first.train["log_loss"]
    assert [each.split()[0] for each in found.differs] == ["numpy", "machine", "threads"]


def test_a_model_that_was_not_trained_here_and_data_that_are_gone_are_refused(
    work: Work, tmp_path: Path, rows: pd.DataFrame
) -> None:
    with pytest.raises(ToolFailure, match="holds 0 models"):
        reproduce_run(work, ReproduceRequest(run=start_run(work, "", "", {}).run))
    first = train(work, tmp_path)
    stored = find_model(work, first.model)
    card = work.home / "datasets" / f"{stored.card.dataset.removeprefix('dataset:')}.json"
    kept = card.read_bytes()
    card.unlink()
    with pytest.raises(ToolFailure, match=r"the data are not here any more.*same content gets the same handle"):
        reproduce_run(work, ReproduceRequest(run=first.run or ""))
    card.write_bytes(kept)
    (stored.folder / RECORD_FILE).unlink()
    with pytest.raises(ToolFailure, match="nothing says how the model"):
        reproduce_run(work, ReproduceRequest(run=first.run or ""))


def test_files_that_were_loaded_on_the_way_are_taken_back_with_the_model(
    work: Work, tmp_path: Path, rows: pd.DataFrame
) -> None:
    first = train(work, tmp_path, validation=str(tmp_path / "test.parquet"))
    loaded = [resolve(work, f"dataset:{name}").handle for name in ("rows", "test")]
    assert first.undo == f"delete(handle={[first.model, first.run, *loaded]!r}, dry_run=false)"
    again = reproduce_run(work, ReproduceRequest(run=first.run or ""))
    assert again.undo == f"delete(handle={[again.model, again.again]!r}, dry_run=false)"
    rows.head(100).to_parquet(tmp_path / "some.parquet")
    asked = EvaluateRequest(model=first.model, dataset=str(tmp_path / "some.parquet"), metric="auc", log=False)
    some = evaluate_model(work, asked)
    assert some.undo == f"delete(handle={some.dataset!r}, dry_run=false)"
    assert evaluate_model(work, asked).undo is None
