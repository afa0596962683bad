"""An address of artifacts comes out of a store that others may write: it leads to no place of the attacker's choice."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.tracking import artifacts, client
from mlops_mcp.tools.tracking.connection import opened
from mlops_mcp.tools.tracking.locations import require_artifacts


def run_at(work: Work, location: str) -> str:
    """A run whose artifacts MLflow believes to lie there."""
    with opened(work) as mlflow:
        experiment = mlflow.create_experiment("planted", artifact_location=location)
        return f"run:{mlflow.create_run(experiment).info.run_id}"


@pytest.mark.parametrize("scheme", ["ftp", "sftp", "http", "https", "hdfs", "dbfs", "runs", "models"])
def test_an_address_of_a_kind_that_was_not_configured_is_refused_before_it_is_dialled(work: Work, scheme: str) -> None:
    with pytest.raises(ToolFailure, match="are not opened"):
        require_artifacts(work.settings, f"{scheme}://127.0.0.1:9/x")
    mlflow = work.settings.mlflow.model_copy(update={"artifact_root": f"{scheme}://bot:pw@127.0.0.1:9/root"})
    configured = work.settings.model_copy(update={"mlflow": mlflow})
    require_artifacts(configured, f"{scheme}://127.0.0.1:9/x")
    for host in ("127.0.0.1", "127.0.0.1:10", "127.0.0.1:9@evil", "evil"):
        with pytest.raises(ToolFailure, match="are not opened"):
            require_artifacts(configured, f"{scheme}://{host}/x")


def test_nothing_is_sent_to_a_planted_address(work: Work, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("x\n1\n")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.05)
        run = run_at(work, f"ftp://127.0.0.1:{listener.getsockname()[1]}/x")
        with pytest.raises(ToolFailure, match=r"ftp://.* are not opened"):
            artifacts.list_artifacts(work, run, "", 10, "")
        with pytest.raises(ToolFailure, match=r"ftp://.* are not opened"):
            artifacts.read_artifact(work, run, "a.txt", 0)
        with pytest.raises(ToolFailure, match=r"ftp://.* are not opened"):
            client.log_artifact(work, run, str(tmp_path / "rows.csv"), "")
        with pytest.raises(TimeoutError):
            listener.accept()


def test_a_planted_folder_is_not_read(work: Work, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside")
    run = run_at(work, outside.as_uri())
    place = outside / run.removeprefix("run:") / "artifacts"
    place.mkdir(parents=True)
    (place / "secret.txt").write_text("a secret")
    with pytest.raises(ToolFailure, match="lies outside"):
        artifacts.read_artifact(work, run, "secret.txt", 0)


def test_the_state_folder_is_no_place_of_artifacts(work: Work) -> None:
    run = run_at(work, work.home.as_uri())
    place = work.home / run.removeprefix("run:") / "artifacts"
    place.mkdir(parents=True)
    (place / "secret.key").write_text("a secret")
    with pytest.raises(ToolFailure, match="is private"):
        artifacts.list_artifacts(work, run, "", 10, "")
    with pytest.raises(ToolFailure, match="is private"):
        artifacts.read_artifact(work, run, "secret.key", 0)


@pytest.mark.parametrize("name", ["..", ".", " .. ", "a\0b", "a\nb", "a\x1b[2Jb"])
def test_a_name_that_leads_away_makes_no_experiment(work: Work, name: str) -> None:
    with pytest.raises(ToolFailure, match="cannot name an experiment"):
        client.create_experiment(work, name, {})
    with pytest.raises(ToolFailure, match="cannot name a run"):
        client.start_run(work, "e", name, {})


@pytest.mark.parametrize("name", ["../../x", "a/../../b", "..\\x", "/etc/x", "a/..", "..%2fx", "~/x", "é/../x"])
def test_an_experiment_keeps_its_artifacts_below_their_root_whatever_it_is_called(work: Work, name: str) -> None:
    root = Path(work.settings.artifact_root).resolve()
    try:
        made = client.create_experiment(work, name, {})
    except ToolFailure:
        return
    assert Path(made.artifact_root).resolve().parent == root


@pytest.mark.parametrize(
    "tag", ["mlflow.user", "mlflow.loggedArtifacts", "mlflow.artifactLocation", "mlflow.log-model.history"]
)
def test_a_caller_cannot_say_whose_a_run_is(work: Work, tag: str) -> None:
    with pytest.raises(ToolFailure, match="by MLflow and this server alone"):
        client.start_run(work, "e", "r", {tag: "somebody else"})
    run = client.start_run(work, "e", "r", {"mlflow.note.content": "why it was run", "user": "a plain tag"}).run
    with pytest.raises(ToolFailure, match="by MLflow and this server alone"):
        client.log_run(work, run, {}, {}, 0, {tag: "somebody else"})
    with pytest.raises(ToolFailure, match="by MLflow and this server alone"):
        client.create_experiment(work, "e", {tag: "somebody else"})
