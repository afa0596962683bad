"""`doctor --deep` writes to what is there, and leaves it as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops_mcp.config.load import load
from mlops_mcp.config.settings import Settings
from mlops_mcp.server.deep import deep_answers
from mlops_mcp.server.probes import Backend
from mlops_mcp.tools.runtime.jobs.launch import table_of
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.tracing.span import Tracer
from mlops_mcp.tools.tracking.client import create_experiment
from mlops_mcp.tools.tuning.storage import names

pytestmark = pytest.mark.slow


def asked(settings: Settings) -> dict[str, Backend]:
    return {answer.name: answer for answer in deep_answers(settings)}


def used(settings: Settings) -> Work:
    """An installation that something was made in."""
    work = Work(settings, Tracer(lambda _span: None))
    create_experiment(work, "e", {})
    table_of(settings).running()
    for folder in (settings.home / "optuna", settings.bentoml_home, Path(settings.artifact_root)):
        folder.mkdir(parents=True, exist_ok=True)
    return work


def test_a_new_installation_is_left_unmade(environ: dict[str, str]) -> None:
    settings = load(environ).settings
    assert {answer.state for answer in asked(settings).values()} <= {"ok", "embedded"}
    assert not settings.home.exists()


def test_each_backend_is_written_and_read_and_nothing_is_left(environ: dict[str, str]) -> None:
    settings = load(environ).settings
    work = used(settings)
    before = {path for path in settings.home.rglob("*") if not path.name.endswith(("-wal", "-shm"))}
    found = asked(settings)
    written = {name for name, answer in found.items() if "written and read in" in answer.detail}
    assert written == {"state folder", "jobs", "mlflow", "optuna", "bentoml", "artifacts"}, found
    assert {path for path in settings.home.rglob("*") if not path.name.endswith(("-wal", "-shm"))} == before
    assert names(work) == []


def test_what_can_be_read_and_not_written_is_told_apart(environ: dict[str, str]) -> None:
    settings = load(environ).settings
    used(settings)
    database = settings.home / "jobs.db"
    with database.open("r+b") as file:  # the version of the format that may be written: here one that does not exist
        file.seek(18)
        file.write(b"\x09")
    found = asked(settings)["jobs"]
    assert (found.state, found.remedy) == ("failed", "check home (MLOPS_HOME)")
