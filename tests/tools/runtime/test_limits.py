"""What a worker sets up before it imports a library."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlops_mcp.tools.runtime import limits

NAME = "PROMETHEUS_MULTIPROCESS_DIR"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "metrics"
    monkeypatch.setattr(limits, "METRICS_FOLDER", str(folder))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv(NAME, str(folder))
    return folder


def test_the_folder_of_metrics_is_made_for_its_owner_only(folder: Path) -> None:
    limits.make_folders()
    limits.make_folders()
    assert (os.environ[NAME], folder.stat().st_mode & 0o777) == (str(folder), 0o700)


@pytest.mark.parametrize("kind", ["open", "link", "file", "foreign"])
def test_a_folder_of_metrics_that_is_not_ours_alone_is_not_used(
    folder: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    match kind:
        case "open":
            folder.mkdir()
            folder.chmod(0o777)
        case "link":
            folder.symlink_to(folder.parent)
        case "file":
            folder.touch(0o600)
        case _ if os.getuid():
            folder = Path("~root").expanduser()
            monkeypatch.setattr(limits, "METRICS_FOLDER", str(folder))
        case _:
            folder.mkdir(0o700)
            os.chown(folder, 12345, 12345)
    limits.make_folders()
    other = Path(os.environ[NAME])
    assert other != folder
    assert (other.is_dir(), other.stat().st_mode & 0o777, other.stat().st_uid) == (True, 0o700, os.getuid())


def test_a_server_of_mlflow_that_is_slow_is_not_taken_for_a_dead_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it lives is asked before; what was told in MLflow's own variable counts."""
    assert float(limits.quiet_environment()["MLFLOW_HTTP_REQUEST_TIMEOUT"]) >= 30
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "7")
    assert limits.quiet_environment()["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "7"
