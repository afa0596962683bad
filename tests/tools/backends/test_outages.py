"""What a team runs goes away while a job works: nothing is lost, nothing is made twice, no run stays open."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlops_mcp.config.load import load
from mlops_mcp.tools.errors import Unavailable
from mlops_mcp.tools.modeling.store import require_logging
from mlops_mcp.tools.registry.client import get_model, register_model
from mlops_mcp.tools.registry.client import log_model as log_kept
from mlops_mcp.tools.registry.models import LogRequest
from mlops_mcp.tools.registry.removal import find as find_version
from mlops_mcp.tools.registry.removal import remove as remove_version
from mlops_mcp.tools.runtime.limits import quiet_environment
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.tracing.span import Tracer
from mlops_mcp.tools.tracking.backend import mlflow_client
from mlops_mcp.tools.tracking.client import end_run, get_run, log_artifact, log_run, search_runs, start_run
from mlops_mcp.tools.tracking.removal import (
    find_experiment,
    find_runs,
    remove_experiment,
    remove_runs,
    restore_experiment,
)
from mlops_mcp.tools.training import keeping
from mlops_mcp.tools.training.client import train_model
from mlops_mcp.tools.training.models import Trained, TrainRequest

from ...waiting import until
from .conftest import BUCKET, address_of, folder_of
from .gate import Gate, gate_to
from .servers import KEYS, OWN_HOST, Database, Program

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("fitted_once")]
Working = Callable[..., Work]


@pytest.fixture
def gate(mlflow: Program) -> Generator[Gate]:
    with gate_to(mlflow.port) as gate:
        yield gate


@pytest.fixture
def working(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Working:
    """A job of an installation whose MLflow is at a place, in experiments of its own, with rows to train on."""
    for name, value in quiet_environment().items():
        monkeypatch.setenv(name, value)
    # On a busy machine a server that lives may be slow to say so.
    monkeypatch.setattr("mlops_mcp.tools.tracking.backend.PROBE_TIMEOUT_S", 60.0)
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=60), "z": rng.normal(size=60)})
    frame.assign(y=(frame["x"] > 0).astype(int)).to_parquet(tmp_path / "rows.parquet")

    def make(uri: str, job: str = "a-job", bears_s: float = 0, **mlflow: Any) -> Work:
        own = {f"mlflow.{name}": value for name, value in mlflow.items()}
        values = {"mlflow.tracking_uri": uri, "data.roots": [str(tmp_path)], "mlflow.experiment_prefix": tmp_path.name}
        environ = {"MLOPS_HOME": str(tmp_path / "home"), "MLOPS_CONFIG": os.devnull}
        until_s = None if job else time.monotonic() + bears_s
        settings = load(environ, {**values, **own}).settings
        return Work(settings, Tracer(lambda _span: None), job=job, bears_until=until_s)

    return make


@pytest.fixture
def back_after(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], list[float]]:
    """What has gone away comes back while the job waits for it the first time; how long it wanted to wait."""

    def arrange(come_back: Callable[[], None]) -> list[float]:
        waited: list[float] = []

        def wait(seconds: float) -> None:
            if not waited:
                come_back()
            waited.append(seconds)

        monkeypatch.setattr("mlops_mcp.tools.tracking.patient.time.sleep", wait)
        return waited

    return arrange


def at(gate: Gate) -> str:
    return f"http://{OWN_HOST}:{gate.port}"


def trained(work: Work, **more: Any) -> Trained:
    file = str(next(iter(work.settings.data.roots)) / "rows.parquet")
    return train_model(work, TrainRequest(dataset=file, target="y", algorithm="LogisticRegression", **more))


def statuses(work: Work) -> list[str]:
    return sorted(line.status for line in search_runs(work, "mlops", "", "", 50, "").items)


def before(monkeypatch: pytest.MonkeyPatch, name: str, happens: Callable[[], None]) -> None:
    """Let something happen when training comes to a step of logging."""
    step = getattr(keeping, name)

    def interrupted(*arguments: Any, **named: Any) -> Any:
        happens()
        return step(*arguments, **named)

    monkeypatch.setattr(keeping, name, interrupted)


@pytest.mark.parametrize("step", ["log_run", "log_model"])
def test_a_job_waits_for_a_server_that_goes_away_while_it_logs(
    gate: Gate, working: Working, back_after: Any, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    work, waited = working(at(gate)), back_after(gate.open)
    before(monkeypatch, step, gate.shut)
    made = trained(work)
    assert made.run, made.notes
    assert waited
    assert statuses(work) == ["FINISHED"]


def test_a_server_that_stays_away_leaves_a_model_here_and_a_run_that_ends_when_it_is_back(
    gate: Gate, working: Working, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = working(at(gate), patience_s=0)
    with monkeypatch.context() as interrupting:
        before(interrupting, "log_model", gate.shut)
        made = trained(work)
    assert (made.run, made.model.startswith("local:")) == (None, True)
    gate.open()
    assert statuses(work) == ["FAILED"]
    logged = log_kept(work, LogRequest(model=made.model, run="", name=""))
    assert logged.model.startswith("models:/")
    assert statuses(work) == ["FAILED", "FINISHED"]
    assert not list((work.home / "open_runs").iterdir())


def test_a_job_goes_on_once_a_server_that_stood_still_goes_on(
    gate: Gate, mlflow: Program, working: Working, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stand_still() -> None:
        asked = gate.asked
        mlflow.freeze()

        def go_on() -> None:
            until(lambda: gate.asked > asked)
            mlflow.thaw()

        Thread(target=go_on).start()

    work = working(at(gate))
    before(monkeypatch, "log_model", stand_still)
    assert trained(work).run
    assert statuses(work) == ["FINISHED"]


LOST = (
    "runs/create ", "runs/log-batch", "POST /api/2.0/mlflow/logged-models ", "runs/outputs", "runs/update",
    "registered-models/create", "model-versions/create",
)  # fmt: skip


def test_what_was_made_though_its_answer_was_lost_is_not_made_again(
    gate: Gate, working: Working, back_after: Any
) -> None:
    """The first answer to every request that makes something is lost."""
    work = working(at(gate))
    back_after(lambda: None)
    gate.losing = [request.encode() for request in LOST]
    made = trained(work)
    assert register_model(work, made.model, "lost", {}, "").model == "model:lost/1"
    assert gate.losing == []
    assert statuses(work) == ["FINISHED"]
    client = mlflow_client(work)
    experiment = client.get_experiment_by_name(f"{work.settings.mlflow.experiment_prefix}mlops")
    assert experiment
    assert len(client.search_logged_models([experiment.experiment_id])) == 1
    assert made.run
    outputs = client.get_run(made.run.removeprefix("run:")).outputs
    assert outputs
    assert [output.model_id for output in outputs.model_outputs] == [made.model.removeprefix("models:/")]


CALLS_LOST = (
    "experiments/create", "runs/create ", "runs/log-batch", "runs/update", "registered-models/create",
    "model-versions/create", "runs/delete", "model-versions/delete", "registered-models/delete", "experiments/delete",
    "experiments/restore",
)  # fmt: skip


def test_a_call_whose_answer_is_lost_does_nothing_twice_and_answers_as_if_it_had_come(
    gate: Gate, working: Working, back_after: Any
) -> None:
    source = trained(working(at(gate))).model
    work = working(at(gate), job="", bears_s=600)
    back_after(lambda: None)
    gate.losing = [request.encode() for request in CALLS_LOST]
    run = start_run(work, "called", "once", {}).run
    log_run(work, run, {}, {"auc": 0.5}, 0, {})
    assert end_run(work, run, "FINISHED").status == "FINISHED"
    version = register_model(work, source, "called", {}, "")
    assert (version.model, version.undo) == ("model:called/1", "delete(handle='model:called/1', dry_run=false)")
    remove_version(work, find_version(work, version.model))
    remove_runs(work, find_runs(work, run))
    experiment = find_experiment(work, "called")
    remove_experiment(work, experiment)
    restore_experiment(work, "called")
    assert gate.losing == []
    [line] = search_runs(work, "called", "", "", 50, "").items
    assert (line.run, line.metrics) == (run, {"auc": 0.5})


def test_a_call_waits_for_a_server_that_comes_back_while_its_caller_does(
    gate: Gate, working: Working, back_after: Any
) -> None:
    work, waited = working(at(gate), job="", bears_s=600), back_after(gate.open)
    run = start_run(work, "", "", {}).run
    gate.shut()
    assert get_run(work, run).run == run
    assert len(waited) == 1
    waited.clear()
    gate.shut()
    assert end_run(work, run, "FINISHED").status == "FINISHED"
    assert len(waited) == 1


def test_a_call_waits_no_longer_than_its_caller_and_the_next_ones_not_at_all(
    gate: Gate, working: Working, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, waited = [1000.0], list[float]()

    def wait(seconds: float) -> None:
        waited.append(seconds)
        clock[0] += seconds

    work = working(at(gate), job="")
    run = start_run(work, "", "", {}).run
    gate.shut()
    monkeypatch.setattr(
        "mlops_mcp.tools.tracking.patient.time", SimpleNamespace(monotonic=lambda: clock[0], sleep=wait)
    )
    bearing = replace(work, bears_until=clock[0] + 7)
    for _ in range(2):
        with pytest.raises(Unavailable, match="MLflow server"):
            get_run(bearing, run)
    assert sum(waited) == pytest.approx(7)
    clock[0] += work.settings.mlflow.patience_s
    with pytest.raises(Unavailable):
        get_run(replace(work, bears_until=clock[0] + 5), run)
    assert sum(waited) == pytest.approx(7 + 5)
    gate.open()
    assert get_run(work, run).run == run
    gate.shut()
    with pytest.raises(Unavailable):
        get_run(replace(work, bears_until=clock[0] + 3), run)
    assert sum(waited) == pytest.approx(7 + 5 + 3), "it was answered meanwhile"


def test_a_call_does_not_wait_for_what_never_answered(
    gate: Gate, mlflow: Program, working: Working, back_after: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    waited = back_after(gate.open)
    gate.shut()
    with pytest.raises(Unavailable, match="MLflow server"):
        search_runs(working(at(gate), job="", bears_s=600), "", "", "", 50, "")
    monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", "http://127.0.0.1:9")
    work = working(address_of(mlflow), job="", bears_s=600, artifact_root=f"s3://{BUCKET}")
    with pytest.raises(Unavailable, match="artifact store"):
        log_artifact(work, start_run(work, "", "", {}).run, str(tmp_path / "rows.parquet"), "")
    assert not waited


def test_a_job_waits_for_a_store_of_artifacts_that_goes_away_while_it_uploads(
    mlflow: Program, s3: Program, working: Working, back_after: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with gate_to(s3.port) as way:
        stored_at(way, monkeypatch)
        waited = back_after(way.open)
        work = working(address_of(mlflow), artifact_root=f"s3://{BUCKET}")
        before(monkeypatch, "log_model", way.shut)
        made = trained(work)
    assert made.run, made.notes
    assert waited
    assert statuses(work) == ["FINISHED"]


def test_a_store_of_artifacts_that_stays_away_leaves_a_model_here_and_a_run_that_failed(
    mlflow: Program, s3: Program, working: Working, monkeypatch: pytest.MonkeyPatch
) -> None:
    with gate_to(s3.port) as way:
        stored_at(way, monkeypatch)
        work = working(address_of(mlflow), artifact_root=f"s3://{BUCKET}", patience_s=0)
        before(monkeypatch, "log_model", way.shut)
        made = trained(work)
    assert (made.run, made.model.startswith("local:")) == (None, True)
    assert statuses(work) == ["FAILED"]


def test_a_store_of_artifacts_that_refuses_a_model_leaves_it_here_without_being_waited_for(
    mlflow: Program, s3: Program, working: Working, back_after: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited = back_after(lambda: None)
    monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", address_of(s3))
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    made = trained(working(address_of(mlflow), artifact_root="s3://nobody-has-made-this"), experiment="refused")
    assert made.model.startswith("local:")
    assert "NoSuchBucket" in " ".join(made.notes)
    assert not waited


def stored_at(way: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**KEYS, "MLFLOW_S3_ENDPOINT_URL": at(way)}.items():
        monkeypatch.setenv(name, value)


def test_where_the_artifacts_of_an_experiment_lie_is_asked_before_the_work(
    mlflow: Program, working: Working, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server has put it there, and no setting of ours says so."""
    work = working(address_of(mlflow), job="")
    monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", "http://127.0.0.1:9")
    place = f"s3://{BUCKET}/theirs"
    mlflow_client(work).create_experiment(f"{work.settings.mlflow.experiment_prefix}theirs", artifact_location=place)
    require_logging(work)
    with pytest.raises(Unavailable, match=r"the artifact store at http://127\.0\.0\.1:9"):
        require_logging(work, experiment="theirs")
    assert trained(work, experiment="theirs").model.startswith("local:")


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_job_waits_for_a_database_of_runs_that_is_restarted_while_it_logs(
    runs_database: str, mlflow: Program, working: Working, back_after: Any, monkeypatch: pytest.MonkeyPatch, how: Any
) -> None:
    assert mlflow.port  # its server has migrated the database
    server, work = Database(folder_of(runs_database)), working(runs_database)
    waited = back_after(server.start)
    before(monkeypatch, "log_model", lambda: server.stop(how))
    made = trained(work)
    assert made.run, made.notes
    assert waited
    version = register_model(work, made.model, f"restarted{how}", {}, "")
    assert get_model(work, version.model, 5, True).check
    assert statuses(work) == ["FINISHED"]
