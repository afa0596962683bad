import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydantic import JsonValue

from mlops_mcp.config.load import load
from mlops_mcp.resources.registry import model_card, version_card
from mlops_mcp.resources.runs import run_card
from mlops_mcp.tools.errors import ToolFailure, Unavailable
from mlops_mcp.tools.modeling.store import find_model
from mlops_mcp.tools.registry import client, stages
from mlops_mcp.tools.runtime.identity import Identity
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.tracing.span import Tracer
from mlops_mcp.tools.tracking.backend import mlflow_client
from mlops_mcp.tools.tracking.client import start_run
from mlops_mcp.tools.training.client import train_model
from mlops_mcp.tools.training.models import TrainRequest

from ...copies import copied

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Trained:
    home: Path
    models: list[str]


def write_rows(folder: Path) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=200), "z": rng.normal(size=200)})
    frame.assign(y=(frame["x"] > 0).astype(int)).to_parquet(folder / "rows.parquet")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A state folder with two models."""
    folder = tmp_path_factory.mktemp("trained")
    write_rows(folder)
    settings = load({"MLOPS_HOME": str(folder / "home"), "MLOPS_CONFIG": os.devnull}, {"data.roots": [str(folder)]})
    work = Work(settings.settings, Tracer(lambda _span: None))
    return Trained(work.home, [train(work, folder, "LogisticRegression", {"C": c}) for c in (1.0, 2.0)])


@pytest.fixture
def models(work: Work, trained: Trained, tmp_path: Path) -> list[str]:
    """Two trained models, in a copy of that folder."""
    write_rows(tmp_path)
    copied(trained.home, work.home)
    return trained.models


def train(work: Work, folder: Path, algorithm: str, params: dict[str, JsonValue]) -> str:
    return train_model(
        work,
        TrainRequest(dataset=str(folder / "rows.parquet"), target="y", algorithm=algorithm, params=params),
    ).model  # fmt: skip


def test_the_same_model_under_the_same_name_stays_one_version(work: Work, models: list[str]) -> None:
    first = client.register_model(work, models[0], "credit", {"team": "risk"}, "first")
    again = client.register_model(work, models[0], "credit", {}, "")
    second = client.register_model(work, models[1], "credit", {}, "")
    assert (first.model, again.model, second.model) == ("model:credit/1", "model:credit/1", "model:credit/2")
    assert (again.tags, again.description, again.source) == ({"team": "risk"}, "first", models[0])


@pytest.mark.parametrize("tag", ["mlops.owner", "mlflow.user"])
def test_a_version_names_who_has_made_it_and_nobody_else_can(work: Work, models: list[str], tag: str) -> None:
    ann, bob = (replace(work, by=Identity(name, "write")) for name in ("ann", "bob"))
    assert client.register_model(ann, models[0], "credit", {}, "").tags == {"mlops.owner": "ann"}
    assert client.register_model(bob, models[0], "credit", {"team": "risk"}, "").tags["mlops.owner"] == "ann"
    with pytest.raises(ToolFailure, match="set by"):
        client.register_model(bob, models[1], "credit", {tag: "ann"}, "")
    assert len(client.get_model(work, "credit", 10, False).versions) == 1


@pytest.mark.parametrize("tag", ["promotion_judged", "promotion", "promotion.load", "stage_history", "stage"])
def test_no_caller_writes_the_tags_that_say_why_a_version_is_where_it_is(
    work: Work, models: list[str], tag: str
) -> None:
    made = client.register_model(work, models[0], "credit", {}, "")
    with pytest.raises(ToolFailure, match="set by the server"):
        client.register_model(work, models[0], "credit", {tag: "passed"}, "")
    assert client.get_model(work, made.model, 1, False).versions[0].tags == made.tags


def test_a_promotion_archives_the_version_before_and_moves_the_alias(work: Work, models: list[str]) -> None:
    for model in models:
        client.register_model(work, model, "credit", {}, "")
    stages.transition_stage(work, "model:credit/1", "Production", True)
    moved = stages.transition_stage(work, "model:credit/2", "Production", True)
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
        stages.transition_stage(work, f"model:credit/{version}", "Staging", False)
    assert {entry.stage for entry in client.get_model(work, "credit", 10, False).versions} == {"Staging"}
    assert client.get_latest_version(work, "credit", ["Production", "Staging"]).version == 2


def test_leaving_a_stage_gives_up_its_alias(work: Work, models: list[str]) -> None:
    client.register_model(work, models[0], "credit", {}, "")
    stages.transition_stage(work, "model:credit/1", "Production", True)
    stages.transition_stage(work, "model:credit/1", "Archived", True)
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
        (lambda work: client.get_model(work, "models:/m-" + "0" * 32, 10, False), "is a logged model"),
        (lambda work: client.get_model(work, "model:credit/1@prod", 10, False), "no model handle"),
        (lambda work: client.get_latest_version(work, "model:credit/1", ["None"]), "names one version already"),
        (lambda work: client.get_latest_version(work, "credit@best", ["None"]), "names one version already"),
        (lambda work: stages.transition_stage(work, "credit", "Staging", True), "names no version"),
        (lambda work: stages.transition_stage(work, "credit@best", "Staging", True), "unknown alias"),
        (lambda work: client.register_model(work, "models:/m-0", "credit", {}, ""), "unknown model"),
        (lambda work: client.register_model(work, "/tmp/nowhere", "credit", {}, ""), "no model handle"),
        (lambda work: client.register_model(work, "model:credit/1", "a/b", {}, ""), "cannot name a model"),
    ],
)
def test_what_does_not_exist_is_an_error_that_names_what_does(work: Work, models: list[str], call, says: str) -> None:  # type: ignore[no-untyped-def]
    client.register_model(work, models[0], "credit", {}, "")
    with pytest.raises(ToolFailure, match=says):
        call(work)


@pytest.mark.parametrize(
    ("tags", "description", "says"),
    [
        ({"": "x"}, "", "tag without a name"),
        ({" ": "x"}, "", "tag without a name"),
        ({"k" * 251: "x"}, "", "250"),
        ({"brand": "x" * 100_001}, "", "100000"),
        ({"a$b": "x"}, "", "a\\$b"),
        ({}, "x" * 5001, "5000"),
    ],
)
def test_what_cannot_be_stored_is_refused_before_anything_is_made(
    work: Work, models: list[str], tags: dict[str, str], description: str, says: str
) -> None:
    with pytest.raises(ToolFailure, match=says):
        client.register_model(work, models[0], "credit", tags, description)
    assert client.list_models(work, 10, "").items == []


def test_a_first_version_that_fails_leaves_no_empty_model(work: Work, models: list[str]) -> None:
    with closing(sqlite3.connect(work.home / "mlflow.db")) as db:
        db.execute("create trigger full before insert on model_versions begin select raise(abort, 'full'); end")
        db.commit()
    with pytest.raises(ToolFailure):
        client.register_model(work, models[0], "credit", {}, "")
    assert client.list_models(work, 10, "").items == []


def test_a_model_without_versions_says_so(work: Work) -> None:
    mlflow_client(work).create_registered_model("empty")
    for call in (
        lambda: client.get_model(work, "empty", 10, False),
        lambda: client.get_latest_version(work, "empty", ["None"]),
        lambda: stages.transition_stage(work, "model:empty/1", "Staging", True),
    ):
        with pytest.raises(ToolFailure, match=r"model:empty has no version yet.*register_model"):
            call()


@pytest.mark.parametrize("prefix", ["", "model:", "models:/"])
def test_a_version_goes_by_name_number_and_alias_in_every_spelling(work: Work, models: list[str], prefix: str) -> None:
    for model in models:
        client.register_model(work, model, "credit", {}, "")
    stages.transition_stage(work, f"{prefix}credit/1", "Staging", True)
    assert client.get_model(work, f"{prefix}credit", 10, False).name == "credit"
    assert [entry.version for entry in client.get_model(work, f"{prefix}credit/1", 2, False).versions] == [1, 2]
    assert client.get_model(work, f"{prefix}credit@staging", 1, False).omitted == 1
    moved = stages.transition_stage(work, f"{prefix}credit@staging", "Production", True)
    assert (moved.model, moved.alias) == ("model:credit/1", "production")
    assert client.get_latest_version(work, f"{prefix}credit", ["Production"]).version == 1


def test_lists_of_versions_are_short_and_the_named_version_is_told_in_full(work: Work, models: list[str]) -> None:
    tags = {f"tag_number_{number:02}": "t" * 50 for number in range(10)}
    client.register_model(work, models[0], "credit", tags, "d" * 900)
    brief = client.get_model(work, "credit", 10, False).versions[0]
    assert len(brief.description) <= 100
    assert brief.more == f"{10 - len(brief.tags)} tags: get_model('model:credit/1')"
    full = client.get_model(work, "model:credit/1", 10, False).versions[0]
    assert (full.description, full.tags, full.more) == ("d" * 900, tags, None)


def test_the_version_in_production_is_the_one_that_is_described(work: Work, models: list[str], tmp_path: Path) -> None:
    forest = train(work, tmp_path, "RandomForest", {"n_estimators": 5})
    for model in (models[0], models[1], forest):
        client.register_model(work, model, "credit", {}, "")
    assert client.get_model(work, "credit", 10, False).algorithm == "RandomForest"
    stages.transition_stage(work, "model:credit/2", "Production", True)
    found = client.get_model(work, "credit", 2, False)
    assert (found.algorithm, [entry.version for entry in found.versions], found.omitted) == (
        "LogisticRegression",
        [2, 3],
        1,
    )
    stages.transition_stage(work, "model:credit/2", "None", True)
    mlflow_client(work).set_registered_model_alias("credit", "production", "1")
    assert client.get_model(work, "credit", 1, False).versions[0].version == 1
    stages.transition_stage(work, "model:credit/2", "Production", True)
    card = model_card(work, "credit")
    assert "LogisticRegression for **y**" in card
    assert "as version 2" in card


def _empty_folder(folder: Path) -> None:
    for file in folder.iterdir():
        shutil.rmtree(file) if file.is_dir() else file.unlink()


def _no_card(folder: Path) -> None:
    (folder / "card.json").unlink()


def _torn_card(folder: Path) -> None:
    (folder / "card.json").write_text('{"algorithm": "XG', encoding="utf-8")


def _other_file(folder: Path) -> None:
    (folder / "model.skops").write_bytes(b"something else")


@pytest.mark.parametrize("spoil", [_empty_folder, _no_card, _torn_card, _other_file, shutil.rmtree])
def test_a_broken_version_is_shown_with_what_is_wrong_and_cannot_be_promoted(
    work: Work, models: list[str], spoil: Callable[[Path], None]
) -> None:
    for model in models:
        client.register_model(work, model, "credit", {}, "")
    spoil(find_model(work, "model:credit/2").folder)
    found = client.get_model(work, "credit", 10, True)
    assert ([entry.version for entry in found.versions], found.algorithm, len(found.notes)) == ([2, 1], None, 1)
    assert found.check is not None
    assert (found.check.loaded, bool(found.check.error)) == (False, True)
    assert "model:credit/2" in model_card(work, "credit")
    assert "model:credit/2" in version_card(work, "credit", "2")
    for stage in ("Staging", "Production"):
        with pytest.raises(ToolFailure, match="model:credit/2"):
            stages.transition_stage(work, "model:credit/2", stage, True)
    assert client.get_model(work, "model:credit/2", 1, False).versions[0].stage == "None"
    assert stages.transition_stage(work, "model:credit/2", "Archived", True).stage == "Archived"
    assert stages.transition_stage(work, "model:credit/1", "Production", True).alias == "production"


def test_a_version_that_points_nowhere_cannot_be_promoted(work: Work, models: list[str]) -> None:
    client.register_model(work, models[0], "credit", {}, "")
    mlflow_client(work).create_model_version("credit", "/tmp/nowhere")
    assert "points to /tmp/nowhere" in client.get_model(work, "credit", 10, False).notes[0]
    with pytest.raises(ToolFailure, match="points to /tmp/nowhere"):
        stages.transition_stage(work, "model:credit/2", "Production", True)


def test_names_with_markdown_in_them_stay_in_their_line(work: Work, models: list[str]) -> None:
    tags = {"ab": "one | two\n# three", "c": "[x](http://y)"}
    client.register_model(work, models[0], "credit", tags, "first\n\n# not a title")
    card = version_card(work, "credit", "1")
    assert [line for line in card.splitlines() if line.startswith("#")] == ["# model:credit/1", "## Inputs"]
    assert "one \\| two # three" in card
    assert "\\[x](http://y)" in card
    run = start_run(work, "", "a | b # c", {"k": "v\n| 1 | 2 |"}).run
    shown = run_card(work, run.removeprefix("run:"))
    assert [line for line in shown.splitlines() if line.startswith("#")] == ["# Run a \\| b # c", "## Tags"]
    assert "| k | v \\| 1 \\| 2 \\| |" in shown


def test_models_beyond_the_first_thousand_are_listed(work: Work) -> None:
    mlflow_client(work).create_registered_model("zz_last")
    with closing(sqlite3.connect(work.home / "mlflow.db")) as db:
        db.executemany(
            "insert into registered_models(name, workspace) select ?, workspace from registered_models limit 1",
            [(f"m{number:04}",) for number in range(1100)],
        )
        db.commit()
    last = client.list_models(work, 10, "1095")
    assert (last.total, last.items[-1].name, last.next_cursor) == (1101, "zz_last", None)


def test_a_store_that_cannot_be_used_names_the_setting(work: Work) -> None:
    work.home.mkdir(parents=True, exist_ok=True)
    (work.home / "mlflow.db").write_bytes(b"this is no database, whatever its name says" * 100)
    with pytest.raises(Unavailable, match="MLFLOW_TRACKING_URI"):
        client.list_models(work, 10, "")
