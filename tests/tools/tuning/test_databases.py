"""Studies in PostgreSQL: in a schema of their own, beside MLflow's tables, or where Optuna has them already."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mlops_mcp.config.load import load
from mlops_mcp.tools.errors import Unavailable
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.tracing.span import Tracer
from mlops_mcp.tools.tuning import storage
from mlops_mcp.tools.tuning.storage import SCHEMA

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
