"""Studies of a team that has used Optuna by itself, in the database that tune_model shares with it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import optuna
import pytest

from mlops_mcp.config.load import load
from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.modeling.metrics import Direction
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.tracing.span import Tracer
from mlops_mcp.tools.tuning.client import get_study, tune_model
from mlops_mcp.tools.tuning.models import TuneRequest
from mlops_mcp.tools.tuning.studies import list_studies

pytestmark = pytest.mark.slow


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "studies.db"


@pytest.fixture
def work(environ: dict[str, str], database: Path, tmp_path: Path) -> Work:
    (tmp_path / "rows.csv").write_text("x,y\n" + "".join(f"{number % 7},{number % 2}\n" for number in range(60)))
    values = {"optuna.study_storage": f"sqlite:///{database}", "data.roots": [str(tmp_path)]}
    return Work(load(environ, values).settings, Tracer(lambda _span: None))


def theirs(database: Path, name: str, *directions: Direction, trials: int = 2) -> None:
    """A study as plain Optuna makes one."""
    study = optuna.create_study(storage=f"sqlite:///{database}", study_name=name, directions=list(directions))
    for number in range(trials):
        trial = study.ask()
        x = trial.suggest_float("x", -5, 5)
        study.tell(trial, [x * x + number] * len(directions))


def content(database: Path) -> list[str]:
    with closing(sqlite3.connect(database)) as opened:
        return list(opened.iterdump())


@pytest.mark.parametrize(
    ("directions", "trials", "says"),
    [
        (["minimize"], 2, "not made by tune_model"),
        (["maximize"], 2, "not made by tune_model"),
        (["minimize", "maximize"], 2, "not made by tune_model"),
        (["minimize"], 0, "searches to minimize"),
        (["maximize", "maximize"], 0, "searches to maximize, maximize"),
    ],
)
def test_a_study_of_others_is_not_written(
    work: Work, database: Path, tmp_path: Path, directions: list[Direction], trials: int, says: str
) -> None:
    theirs(database, "theirs", *directions, trials=trials)
    before = content(database)
    request = TuneRequest(
        dataset=str(tmp_path / "rows.csv"), target="y", algorithm="LogisticRegression", study="theirs",
        n_trials=3, folds=2,
    )  # fmt: skip
    with pytest.raises(ToolFailure, match=says):
        tune_model(work, request)
    assert content(database) == before


def test_studies_of_others_are_read_whatever_they_are_called_and_however_many_objectives_they_have(
    work: Work, database: Path
) -> None:
    for name in ("one", "x²: our study/v2", "a@1"):
        theirs(database, name, "minimize")
    theirs(database, "two", "minimize", "maximize", trials=3)
    lines = {line.study: line for line in list_studies(work, 9, "").items}
    assert len(lines) == 4
    assert [lines["study:two"].direction, lines["study:two"].best_value] == ["minimize, maximize", None]
    assert lines["study:one"].best_value is not None
    for handle in lines.keys() - {"study:a@1"}:  # what follows an @ is a version, and a study has none
        found = get_study(work, handle)
        assert found.study == handle
        assert found.best is not None
    several = get_study(work, "study:two")
    assert several.direction == "minimize, maximize"
    assert all(trial.value is None and len(trial.values or ()) == 2 for trial in several.top)
    assert several.importance == {}
