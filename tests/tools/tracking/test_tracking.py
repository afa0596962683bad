import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from mlops_mcp.config.load import load
from mlops_mcp.tools.errors import ToolFailure, Unavailable
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.tracing.span import Tracer
from mlops_mcp.tools.tracking import backend, client

pytestmark = pytest.mark.slow


def test_a_run_is_logged_read_and_closed(work: Work) -> None:
    run = client.start_run(work, "credit", "first", {"team": "risk"}).run
    client.log_run(work, run, {"depth": 3}, {"auc": 0.9}, 0, {"stage": "try"})
    client.log_run(work, run, {}, {"auc": 0.95}, 1, {})
    ended = client.end_run(work, run, "FINISHED")
    assert (ended.params, ended.metrics, ended.tags) == (
        {"depth": "3"},
        {"auc": 0.95},
        {"team": "risk", "stage": "try"},
    )
    assert ended.status == "FINISHED"
    assert ended.duration_s is not None
    assert ended.artifact_uri.startswith(str(work.home / "artifacts" / "credit"))


def test_a_changed_param_and_a_number_that_is_not_finite_are_refused(work: Work) -> None:
    run = client.start_run(work, "", "", {}).run
    client.log_run(work, run, {"depth": 3}, {}, 0, {})
    with pytest.raises(ToolFailure, match="depth"):
        client.log_run(work, run, {"depth": 4}, {"auc": 1.0}, 0, {})
    with pytest.raises(ToolFailure, match="metric auc is inf"):
        client.log_run(work, run, {"other": 1}, {"auc": float("inf")}, 0, {})
    assert client.get_run(work, run).params == {"depth": "3"}


def test_an_experiment_is_made_once_with_prefix_and_comes_back_after_deletion(
    environ: dict[str, str], tmp_path: Path
) -> None:
    settings = load(environ | {"MLOPS_MLFLOW__EXPERIMENT_PREFIX": "e2i_"}, {"data.roots": [str(tmp_path)]}).settings
    work = Work(settings, Tracer(lambda _span: None))
    first = client.create_experiment(work, "remib", {"brand": "x"})
    again = client.create_experiment(work, "remib", {})
    assert (first.name, first.created, again.created) == ("e2i_remib", True, False)
    assert Path(first.artifact_root).is_absolute()
    backend.mlflow_client(work).delete_experiment(first.experiment_id)
    assert client.create_experiment(work, "remib", {}).experiment_id == first.experiment_id


@pytest.mark.parametrize(
    ("experiment", "where", "order", "says"),
    [
        ("credt", "", "", "Did you mean credit"),
        ("credit", "metrics.acu > 0.5", "", "Did you mean auc"),
        ("credit", "", "metrics.acu desc", "Did you mean auc"),
        ("credit", "params.dpth = '3'", "", "Did you mean depth"),
        ("credit", "metrics.auc >", "", "(?i)invalid"),
    ],
)
def test_a_search_for_what_does_not_exist_is_an_error(
    work: Work, experiment: str, where: str, order: str, says: str
) -> None:
    run = client.start_run(work, "credit", "", {}).run
    client.log_run(work, run, {"depth": 3}, {"auc": 0.9}, 0, {})
    with pytest.raises(ToolFailure, match=says):
        client.search_runs(work, experiment, where, order, 10, "")


def test_runs_are_ordered_and_paged(work: Work) -> None:
    for value in (0.1, 0.3, 0.2):
        client.log_run(work, client.start_run(work, "credit", "", {}).run, {}, {"auc": value}, 0, {})
    first = client.search_runs(work, "credit", "", "metrics.auc desc", 2, "")
    second = client.search_runs(work, "credit", "", "metrics.auc desc", 2, first.next_cursor or "")
    assert [line.metrics["auc"] for line in (*first.items, *second.items)] == [0.3, 0.2, 0.1]
    assert second.next_cursor is None


def test_artifacts_are_copied_from_the_roots_only(work: Work, tmp_path: Path) -> None:
    run = client.start_run(work, "", "", {}).run
    (tmp_path / "note.txt").write_text("hello", encoding="utf-8")
    assert client.log_artifact(work, run, str(tmp_path / "note.txt"), "docs").artifact == "docs/note.txt"
    (tmp_path / "link.txt").symlink_to("/etc/passwd")
    with pytest.raises(ToolFailure, match="outside"):
        client.log_artifact(work, run, str(tmp_path / "link.txt"), "")


def test_an_unknown_run_names_the_recent_ones(work: Work) -> None:
    run = client.start_run(work, "", "", {}).run
    with pytest.raises(ToolFailure, match=run):
        client.get_run(work, "run:nope")


OPEN = """
from mlops_mcp.config.load import load
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.tracing.span import Tracer
from mlops_mcp.tools.tracking import client
print(client.start_run(Work(load().settings, Tracer(lambda _: None)), "race", "", {}).run)
"""


def test_four_processes_that_meet_on_an_empty_folder_all_succeed(environ: dict[str, str]) -> None:
    variables = {**os.environ, **environ}
    racers = [
        subprocess.Popen([sys.executable, "-c", OPEN], env=variables, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    runs = {racer.communicate(timeout=120)[0].strip() for racer in racers}
    assert len(runs) == 4
    assert all(run.startswith("run:") for run in runs)


def test_the_shipped_store_has_the_schema_of_the_installed_mlflow(tmp_path: Path) -> None:
    from mlflow.store.db.utils import _get_latest_schema_revision  # pyright: ignore[reportPrivateUsage]

    path = tmp_path / "mlflow.db"
    backend.place_store(path)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("select version_num from alembic_version").fetchone()[0] == _get_latest_schema_revision()


def test_a_dead_server_is_an_error_with_a_remedy_within_two_seconds(environ: dict[str, str]) -> None:
    settings = load(environ | {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}).settings
    began = time.monotonic()
    with pytest.raises(Unavailable, match="MLFLOW_TRACKING_URI"):
        client.search_runs(Work(settings, Tracer(lambda _span: None)), "", "", "", 10, "")
    assert time.monotonic() - began < 2
