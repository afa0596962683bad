"""Registered models of others, whatever they are called."""

from __future__ import annotations

import pytest

from mlops_mcp.tools.registry.client import get_model
from mlops_mcp.tools.registry.evidence import explain_promotion
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.tracking.backend import mlflow_client
from mlops_mcp.tools.tracking.connection import versions_of

NAMES = ["it's", "it", "it's so", "'", 'say "it\'s"', "100%_it's", "IT'S", "שלום"]


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Work:
    """A registry in which somebody else has a model of each name, of two versions."""
    from mlops_mcp.config.load import load
    from mlops_mcp.tools.tracing.span import Tracer

    home = tmp_path_factory.mktemp("others") / "home"
    work = Work(load({"MLOPS_HOME": str(home)}).settings, Tracer(lambda _: None))
    client = mlflow_client(work)
    for name in NAMES:
        client.create_registered_model(name)
        for _ in range(2):
            client.create_model_version(name, str(home / "nothing"))
    return work


@pytest.mark.parametrize("name", NAMES)
def test_a_model_is_read_by_any_name_and_no_other_with_it(others: Work, name: str) -> None:
    found = versions_of(mlflow_client(others), name)
    assert sorted((version.name, int(version.version)) for version in found) == [(name, 1), (name, 2)]
    assert [version.version for version in get_model(others, f"model:{name}", 9, False).versions] == [2, 1]
    assert explain_promotion(others, f"model:{name}/1").model == f"model:{name}/1"
