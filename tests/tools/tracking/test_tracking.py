import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from mcp import Client
from mcp.types import CallToolResult, TextContent
from pydantic import JsonValue

from mlops_mcp.config.load import load
from mlops_mcp.tools.errors import ToolFailure, Unavailable
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.tracing.span import Tracer
from mlops_mcp.tools.tracking import backend, client
from mlops_mcp.tools.tracking.models import RunStatus

pytestmark = pytest.mark.slow
MOST_CHARS = 6000


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


def test_an_infinite_metric_of_another_client_is_known_and_named(work: Work) -> None:
    run = client.start_run(work, "credit", "", {}).run
    for name, value in (("low", float("-inf")), ("high", float("inf")), ("none", float("nan")), ("auc", 0.5)):
        backend.mlflow_client(work).log_metric(run.removeprefix("run:"), name, value)
    found = client.get_run(work, run)
    assert (found.metrics, found.omitted) == ({"auc": 0.5}, "metrics that are no number: high, low, none")
    line = client.search_runs(work, "credit", "metrics.low < 0", "metrics.auc desc", 10, "").items[0]
    assert (line.metrics, line.more) == ({"auc": 0.5}, "high, low, none: no number")


def test_params_that_are_no_text_are_kept_as_json(work: Work) -> None:
    run = client.start_run(work, "", "", {}).run
    given: dict[str, JsonValue] = {"flag": True, "none": None, "list": [1, "ä"], "map": {"a": None}, "text": "True"}
    client.log_run(work, run, given | {"number": 0.1, "big": 2**60 + 1}, {}, 0, {})
    kept = client.get_run(work, run, ["*"]).params
    assert kept.pop("text") == "True"
    assert {name: json.loads(value) for name, value in kept.items()} == {
        "flag": True, "none": None, "list": [1, "ä"], "map": {"a": None}, "number": 0.1, "big": 2**60 + 1,
    }  # fmt: skip


def test_texts_are_stored_whole_or_refused_with_their_length(work: Work) -> None:
    with pytest.raises(ToolFailure, match="tag note has 8001 characters, and MLflow keeps 8000"):
        client.start_run(work, "", "", {"note": "x" * 8001})
    with pytest.raises(ToolFailure, match="8001"):
        client.create_experiment(work, "credit", {"note": "x" * 8001})
    run = client.start_run(work, "", "", {}).run
    with pytest.raises(ToolFailure, match="tag note has 8001"):
        client.log_run(work, run, {"depth": 1}, {"auc": 1.0}, 0, {"note": "x" * 8001})
    with pytest.raises(ToolFailure, match="param rule has 6001 characters, and MLflow keeps 6000"):
        client.log_run(work, run, {"rule": "x" * 6001}, {"auc": 1.0}, 0, {})
    assert (client.get_run(work, run).params, client.get_run(work, run).metrics) == ({}, {})
    client.log_run(work, run, {"rule": "x" * 6000}, {}, 0, {"note": "x" * 8000})
    kept = backend.mlflow_client(work).get_run(run.removeprefix("run:")).data
    assert (len(kept.params["rule"]), len(kept.tags["note"])) == (6000, 8000)


def test_a_run_ends_once_and_a_second_time_changes_nothing(work: Work) -> None:
    run = client.start_run(work, "", "", {}).run
    ended = client.end_run(work, run, "FINISHED")
    assert client.end_run(work, run, "FINISHED") == ended
    with pytest.raises(ToolFailure, match="has ended already, as FINISHED"):
        client.end_run(work, run, "FAILED")
    assert client.get_run(work, run) == ended


def test_a_deleted_run_says_so_and_takes_nothing(work: Work, tmp_path: Path) -> None:
    run = client.start_run(work, "", "", {}).run
    backend.mlflow_client(work).delete_run(run.removeprefix("run:"))
    assert client.get_run(work, run).notes == ["this run is deleted: it takes nothing more, and no search finds it"]
    (tmp_path / "note.txt").write_text("hello", encoding="utf-8")
    for attempt in (
        lambda: client.end_run(work, run, "FINISHED"),
        lambda: client.log_run(work, run, {}, {"auc": 0.9}, 0, {}),
        lambda: client.log_artifact(work, run, str(tmp_path / "note.txt"), ""),
    ):
        with pytest.raises(ToolFailure, match="is deleted"):
            attempt()


def test_a_trial_that_was_pruned_is_told_from_a_run_that_was_killed(work: Work) -> None:
    run = client.start_run(work, "credit", "", {"trial_state": "PRUNED"}).run
    client.end_run(work, run, "KILLED")
    assert client.search_runs(work, "credit", "", "", 10, "").items[0].more == "a trial that was pruned, not killed"


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
    runs = {racer.communicate(timeout=600)[0].strip() for racer in racers}
    assert len(runs) == 4
    assert all(run.startswith("run:") for run in runs)


def test_the_shipped_store_has_the_schema_of_the_installed_mlflow(tmp_path: Path) -> None:
    from mlflow.store.db.utils import _get_latest_schema_revision  # pyright: ignore[reportPrivateUsage]

    path = tmp_path / "mlflow.db"
    backend.place_store(path)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("select version_num from alembic_version").fetchone()[0] == _get_latest_schema_revision()


def test_the_store_is_private_and_a_failure_leaves_no_draft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "home" / "mlflow.db"

    def refuse(_: Path) -> None:
        raise OSError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(backend, "_require_current", refuse)
        with pytest.raises(OSError, match="full"):
            backend.place_store(path)
    assert list(path.parent.iterdir()) == []
    backend.place_store(path)
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_dead_server_is_an_error_with_a_remedy(environ: dict[str, str]) -> None:
    settings = load(environ | {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}).settings
    with pytest.raises(Unavailable, match="MLFLOW_TRACKING_URI"):
        client.search_runs(Work(settings, Tracer(lambda _span: None)), "", "", "", 10, "")


@pytest.mark.parametrize("status", ["FINISHED", "FAILED", "KILLED"])
def test_an_ended_run_takes_nothing_from_an_agent_but_the_scores_of_its_model(
    work: Work, tmp_path: Path, status: RunStatus
) -> None:
    run = client.start_run(work, "", "", {}).run
    client.end_run(work, run, status)
    (tmp_path / "note.txt").write_text("hello", encoding="utf-8")
    for attempt, what in (
        (lambda: client.log_open_run(work, run, {}, {"auc": 0.9}, 0, {}), "auc"),
        (lambda: client.log_artifact(work, run, str(tmp_path / "note.txt"), ""), "note.txt"),
        (lambda: client.require_running(work, run), "anything more"),
    ):
        with pytest.raises(ToolFailure, match=f"{status}.*does not take {what}.*start_run"):
            attempt()
    client.log_run(work, run, {}, {"test_auc": 0.8}, 0, {})
    assert client.get_run(work, run).metrics == {"test_auc": 0.8}


async def test_a_call_that_logs_nothing_or_no_number_is_refused(client: Client) -> None:
    started = await client.call_tool("start_run", {"experiment": "credit"})
    assert started.structured_content is not None
    run = started.structured_content["run"]
    for arguments, says in (
        ({}, "nothing to log"),
        ({"metrics": {"auc": True}}, "valid number"),
        ({"metrics": {"auc": "0.5"}}, "valid number"),
        ({"metrics": {"rows": 2**53 + 1}}, "log them as a param"),
    ):
        answer = await client.call_tool("log_run", {"run": run, **arguments})
        assert answer.is_error
        assert says in _said(answer)
    assert not (await client.call_tool("log_run", {"run": run, "metrics": {"auc": 1, "loss": 0.5}})).is_error


async def test_crowded_runs_are_told_within_1500_tokens(client: Client) -> None:
    run = ""
    texts = {f"text_number_{number:03}": "v" * 1000 for number in range(90)}
    numbers = {f"metric_number_{number:03}": number / 7 for number in range(300)}
    for _ in range(10):
        started = await client.call_tool("start_run", {"name": "n" * 250, "tags": {"t": "x" * 5000}})
        assert started.structured_content is not None
        assert len(_said(started)) <= MOST_CHARS
        run = started.structured_content["run"]
        logged = await client.call_tool("log_run", {"run": run, "params": texts, "metrics": numbers, "tags": texts})
        assert not logged.is_error
    for tool, arguments in (("search_runs", {}), ("get_run", {"run": run}), ("end_run", {"run": run})):
        answer = await client.call_tool(tool, arguments)
        assert not answer.is_error
        assert len(_said(answer)) <= MOST_CHARS, tool


def test_what_a_run_leaves_out_is_counted_named_and_read_by_name(work: Work) -> None:
    run = client.start_run(work, "", "", {}).run
    params: dict[str, JsonValue] = {f"p{number:03}": "short" for number in range(90)}
    params["a_long_one"] = "x" * 5000
    client.log_run(work, run, params, {f"loss_{number:03}": 0.1 for number in range(200)} | {"auc": 0.9}, 0, {})
    brief = client.get_run(work, run)
    assert brief.omitted is not None
    left = 201 - len(brief.metrics)
    assert left > 0
    assert f"{left} metrics, 1 long values: " in brief.omitted
    assert "get_run(run, names=" in brief.omitted
    assert client.get_run(work, run, ["a_long_one"]).params == {"a_long_one": "x" * 5000}
    chosen = client.get_run(work, run, ["loss_19*"])
    assert (len(chosen.metrics), chosen.params, chosen.omitted) == (10, {}, None)
    with pytest.raises(ToolFailure, match="Did you mean auc"):
        client.get_run(work, run, ["acu"])


def test_a_metric_that_is_no_number_is_named(work: Work) -> None:
    run = client.start_run(work, "", "", {}).run
    backend.mlflow_client(work).log_metric(run.removeprefix("run:"), "loss", float("nan"))
    found = client.get_run(work, run)
    assert (found.metrics, found.omitted) == ({}, "metrics that are no number: loss")


def test_experiments_beyond_the_first_thousand_are_found(work: Work) -> None:
    client.create_experiment(work, "zz_last", {})
    with closing(sqlite3.connect(work.home / "mlflow.db")) as db:
        db.executemany(
            "insert into experiments(experiment_id, name, artifact_location, lifecycle_stage, creation_time,"
            " last_update_time, workspace) select ?, ?, '', 'active', 9e12, 9e12, workspace from experiments limit 1",
            [(1000 + number, f"e{number}") for number in range(1100)],
        )
        db.commit()
    assert {"e0", "e1099", "zz_last"} <= client.experiment_ids(work).keys()
    assert client.search_runs(work, "zz_last", "", "", 10, "").items == []


def _garble(store: Path) -> None:
    store.write_bytes(b"this is no database, whatever its name says" * 100)


def _make_a_folder(store: Path) -> None:
    store.mkdir()


def _tear(store: Path) -> None:
    backend.place_store(store)
    with closing(sqlite3.connect(store)) as db:
        db.execute("drop table experiments")
        db.commit()


def _forbid_writing(store: Path) -> None:
    backend.place_store(store)
    with closing(sqlite3.connect(store)) as db:
        db.execute("create trigger full before insert on experiments begin select * from nowhere; end")
        db.commit()


@pytest.mark.parametrize("spoil", [_garble, _make_a_folder, _tear, _forbid_writing])
def test_a_store_that_cannot_be_used_names_the_setting(work: Work, spoil: Callable[[Path], None]) -> None:
    work.home.mkdir(parents=True, exist_ok=True)
    spoil(work.home / "mlflow.db")
    with pytest.raises(Unavailable, match="MLFLOW_TRACKING_URI"):
        client.create_experiment(work, "credit", {})


def test_a_home_that_is_a_file_names_the_setting(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("", encoding="utf-8")
    settings = load(environ | {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/taken/mlflow.db"}).settings
    with pytest.raises(Unavailable, match="MLFLOW_TRACKING_URI"):
        client.search_runs(Work(settings, Tracer(lambda _span: None)), "", "", "", 10, "")


def _said(answer: CallToolResult) -> str:
    return " ".join(block.text for block in answer.content if isinstance(block, TextContent))


def test_the_migrations_are_read_once_a_process(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    backend.preloaded()
    monkeypatch.setattr("mlflow.store.db.utils.ScriptDirectory", None)
    assert backend.open_client(work.settings).search_experiments() is not None
