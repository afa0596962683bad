from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.registry import client
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.training.client import train_model
from mlops_mcp.tools.training.models import TrainRequest

pytestmark = pytest.mark.slow


@pytest.fixture
def models(work: Work, tmp_path: Path) -> list[str]:
    """Two trained models."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=200), "z": rng.normal(size=200)})
    frame.assign(y=(frame["x"] > 0).astype(int)).to_parquet(tmp_path / "rows.parquet")
    return [
        train_model(
            work,
            TrainRequest(
                dataset=str(tmp_path / "rows.parquet"), target="y", algorithm="LogisticRegression", task="auto",
                params={"C": c}, features=[], exclude=[], validation="", run="", experiment="", seed=0,
            ),
        ).model
        for c in (1.0, 2.0)
    ]  # fmt: skip


def test_the_same_model_under_the_same_name_stays_one_version(work: Work, models: list[str]) -> None:
    first = client.register_model(work, models[0], "credit", {"team": "risk"}, "first")
    again = client.register_model(work, models[0], "credit", {}, "")
    second = client.register_model(work, models[1], "credit", {}, "")
    assert (first.model, again.model, second.model) == ("model:credit/1", "model:credit/1", "model:credit/2")
    assert (again.tags, again.description, again.source) == ({"team": "risk"}, "first", models[0])


def test_a_promotion_archives_the_version_before_and_moves_the_alias(work: Work, models: list[str]) -> None:
    for model in models:
        client.register_model(work, model, "credit", {}, "")
    client.transition_stage(work, "model:credit/1", "Production", True)
    moved = client.transition_stage(work, "model:credit/2", "Production", True)
    assert moved.archived == ["model:credit/1"]
    found = client.get_model(work, "credit", 10, False)
    assert [(version.version, version.stage, version.aliases) for version in found.versions] == [
        (2, "Production", ["production"]),
        (1, "Archived", []),
    ]
    assert [version.tags["stage"] for version in found.versions] == ["Production", "Archived"]


def test_without_archiving_both_versions_stay_in_the_stage(work: Work, models: list[str]) -> None:
    for model in models:
        client.register_model(work, model, "credit", {}, "")
    for version in ("1", "2"):
        client.transition_stage(work, f"model:credit/{version}", "Staging", False)
    assert {entry.stage for entry in client.get_model(work, "credit", 10, False).versions} == {"Staging"}
    assert client.get_latest_version(work, "credit", ["Production", "Staging"]).version == 2


def test_leaving_a_stage_gives_up_its_alias(work: Work, models: list[str]) -> None:
    client.register_model(work, models[0], "credit", {}, "")
    client.transition_stage(work, "model:credit/1", "Production", True)
    client.transition_stage(work, "model:credit/1", "Archived", True)
    with pytest.raises(ToolFailure, match="no version in Production"):
        client.get_latest_version(work, "credit", ["Production"])
    assert client.get_model(work, "model:credit/1", 10, False).versions[0].aliases == []


def test_a_check_loads_the_model_and_predicts(work: Work, models: list[str]) -> None:
    client.register_model(work, models[0], "credit", {}, "")
    check = client.get_model(work, "model:credit/1", 10, True).check
    assert check is not None
    assert (check.loaded, check.rows, len(check.predictions)) == (True, 5, 5)
    assert set(check.predictions) <= {0, 1}


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda work: client.get_model(work, "credt", 10, False), "Did you mean credit"),
        (lambda work: client.get_model(work, "model:credit/7", 10, False), "Valid: 1"),
        (lambda work: client.get_model(work, "model:credit@prod", 10, False), "alias"),
        (lambda work: client.transition_stage(work, "credit", "Staging", True), "names no version"),
        (lambda work: client.register_model(work, "models:/m-0", "credit", {}, ""), "unknown model"),
        (lambda work: client.register_model(work, "/tmp/nowhere", "credit", {}, ""), "unknown model"),
        (lambda work: client.register_model(work, "model:credit/1", "a/b", {}, ""), "cannot name a model"),
    ],
)
def test_what_does_not_exist_is_an_error_that_names_what_does(work: Work, models: list[str], call, says: str) -> None:  # type: ignore[no-untyped-def]
    client.register_model(work, models[0], "credit", {}, "")
    with pytest.raises(ToolFailure, match=says):
        call(work)
