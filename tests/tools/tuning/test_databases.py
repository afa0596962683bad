"""Studies in PostgreSQL: in a schema of their own, beside MLflow's tables, or where Optuna has them already."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlops_mcp.config.load import load
from mlops_mcp.tools.errors import Unavailable
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.tracing.span import Tracer
from mlops_mcp.tools.tracking.client import get_run
from mlops_mcp.tools.tuning import driver, storage
from mlops_mcp.tools.tuning.client import tune_model
from mlops_mcp.tools.tuning.models import TuneRequest
from mlops_mcp.tools.tuning.patient import Patience
from mlops_mcp.tools.tuning.storage import SCHEMA

from ..runtime.postgres import running, search_path, start, stop

pytestmark = pytest.mark.slow
OF_MLFLOW = "create table alembic_version(version_num varchar(32) primary key)"
WHERE = "select table_schema from information_schema.tables where table_name='studies' order by 1"


@pytest.fixture
def database(postgres: str) -> Iterator[str]:
    """An empty database."""
    import psycopg

    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("create database studied")
    yield postgres.replace("/postgres?", "/studied?")
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("drop database studied with (force)")


def told(address: str, *statements: str) -> list[tuple[object, ...]]:
    import psycopg

    with psycopg.connect(address, autocommit=True) as connection:
        found = [connection.execute(each.encode()) for each in statements]
        return found[-1].fetchall() if found[-1].description else []


def worker(address: str, home: Path) -> Work:
    settings = load({"MLOPS_HOME": str(home)}, {"optuna.study_storage": address}).settings
    return Work(settings, Tracer(lambda _span: None))


def test_studies_lie_beside_the_tables_of_mlflow(database: str, tmp_path: Path) -> None:
    import optuna

    told(database, OF_MLFLOW, "insert into alembic_version values('dc11669786a5')")
    optuna.create_study(storage=storage.open_storage(worker(database, tmp_path), "a"), study_name="a")
    other = worker(database, tmp_path)
    assert storage.names(other) == ["a"]
    assert storage.find_study(other, "study:a").study_name == "a"
    assert told(database, "select * from public.alembic_version") == [("dc11669786a5",)]
    assert told(database, WHERE) == [(SCHEMA,)]
    assert storage.forget(other, "a")
    assert storage.names(other) == []


def test_studies_that_optuna_has_made_stay_where_it_finds_them(database: str, tmp_path: Path) -> None:
    import optuna

    address = database.replace("postgresql:", "postgresql+psycopg:")
    optuna.create_study(storage=address, study_name="theirs")
    assert storage.names(worker(database, tmp_path)) == ["theirs"]
    optuna.create_study(storage=storage.open_storage(worker(database, tmp_path), "ours"), study_name="ours")
    assert sorted(optuna.get_all_study_names(address)) == ["ours", "theirs"]
    assert told(database, WHERE) == [("public",)]


def test_who_may_make_no_schema_is_told(database: str, tmp_path: Path) -> None:
    told(database, "drop role if exists poor_of_optuna", "create role poor_of_optuna login")
    with pytest.raises(Unavailable, match="permission denied"):
        storage.names(worker(database.replace("tester@", "poor_of_optuna@"), tmp_path))
    told(database, "drop role poor_of_optuna")


@pytest.fixture
def own_server(needs: Callable[..., str]) -> Iterator[Path]:
    """The folder of a server that nobody else uses."""
    with tempfile.TemporaryDirectory(prefix="pg") as folder:
        os.chmod(folder, 0o755)
        with running(Path(folder), lambda name: needs(name, "install postgresql", search_path())):
            yield Path(folder)


def test_a_search_goes_on_when_its_database_was_restarted_in_the_middle(
    own_server: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, told_once = searching(own_server, tmp_path), driver.tell

    def restarting(study: Any, trial: Any, scored: Any) -> Any:
        if trial.number == 2:
            stop(own_server)
            Thread(target=start, args=[own_server]).start()
        return told_once(study, trial, scored)

    monkeypatch.setattr(driver, "tell", restarting)
    found = tune_model(work, asked(tmp_path))
    assert (found.trials, found.failed, found.notes[0].startswith("ended early")) == (5, 0, False)
    assert get_run(work, found.run).status == "FINISHED"


def test_a_search_whose_database_stays_away_ends_with_its_best_and_says_so(
    own_server: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, told_once = searching(own_server, tmp_path), driver.tell

    def ending(study: Any, trial: Any, scored: Any) -> Any:
        if trial.number == 2:
            stop(own_server)
        return told_once(study, trial, scored)

    monkeypatch.setattr(driver, "tell", ending)
    monkeypatch.setattr(storage, "Patience", lambda: Patience(most_s=0.5))
    found = tune_model(work, asked(tmp_path))
    assert found.trials == 2
    assert "ended early with the best so far" in found.notes[0]
    assert get_run(work, found.run).status == "FINISHED"
    start(own_server)
    monkeypatch.setattr(driver, "tell", told_once)
    again = tune_model(work, asked(tmp_path))
    assert (again.study, again.trials) == (found.study, 5)


def searching(server: Path, folder: Path) -> Work:
    """An installation whose studies lie on that server, and rows to search on."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=200), "z": rng.normal(size=200)})
    frame.assign(y=(frame["x"] > 0).astype(int)).to_parquet(folder / "rows.parquet")
    address = f"postgresql://tester@/postgres?host={server}"
    own = {"optuna.study_storage": address, "data.roots": [str(folder)], "optuna.processes": 1}
    return Work(load({"MLOPS_HOME": str(folder / "home")}, own).settings, Tracer(lambda _span: None))


def asked(folder: Path) -> TuneRequest:
    return TuneRequest.model_validate(
        {
            "dataset": str(folder / "rows.parquet"), "target": "y", "algorithm": "LogisticRegression", "folds": 2,
            "n_trials": 5, "study": "kept", "metric": "auc",
        }
    )  # fmt: skip
