"""A team has a Feast repository already, and names it as the place of ours."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from mlops_mcp.config.load import load
from mlops_mcp.server.probes import answers, questions
from mlops_mcp.tools.data.store import save
from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.features import client
from mlops_mcp.tools.features.models import MaterializeRequest
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.tracing.span import Tracer

pytestmark = pytest.mark.slow


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """As Feast's own command makes one."""
    done = subprocess.run(
        [sys.executable, "-m", "feast.cli.cli", "init", "--minimal", "team"], cwd=tmp_path, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (found,) = tmp_path.rglob("feature_store.yaml")
    return found.parent


def files(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


CALLS: tuple[Callable[[Work], object], ...] = (
    lambda work: client.list_features(work, "", 10, ""),
    lambda work: client.list_features(work, "driver", 10, ""),
    lambda work: client.register_features(work, "dataset:rows", "v", "k", "at", ["x"], "", None, ""),
    lambda work: client.materialize_features(work, MaterializeRequest(views=[], start="", end="")),
    lambda work: client.get_online_features(work, ["v:x"], [{"k": 1}]),
    lambda work: client.get_feature_statistics(work, "v", 10, ""),
)


def test_a_repository_of_a_team_is_named_as_such_and_not_a_byte_of_it_changes(repository: Path, tmp_path: Path) -> None:
    settings = load({"MLOPS_HOME": str(tmp_path / "home")}, {"feast.repo_path": str(repository)}).settings
    work = Work(settings, Tracer(lambda _span: None))
    save(work, pa.table({"k": [1], "at": [datetime(2024, 1, 1, tzinfo=UTC)], "x": [1.0]}), "rows", [], "test")
    before = files(repository)
    for call in CALLS:
        with pytest.raises(ToolFailure, match=r"feature_store\.yaml"):
            call(work)
    (feast,) = [answer for answer in answers(questions(settings)) if answer.name == "feast"]
    assert (feast.state, feast.remedy) == ("failed", "check feast.repo_path (FEAST_REPO_PATH)")
    assert files(repository) == before
