"""`doctor --deep` on the databases of a team."""

from __future__ import annotations

import pytest

from mlops_mcp.config.load import load
from mlops_mcp.config.settings import Settings
from mlops_mcp.server.deep import deep_answers
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.tracing.span import Tracer
from mlops_mcp.tools.tuning.storage import names

pytestmark = pytest.mark.slow


@pytest.fixture
def settings(environ: dict[str, str], postgres: str) -> Settings:
    import psycopg

    with psycopg.connect(postgres, autocommit=True) as connection:
        for name in ("jobs", "studies", "runs"):
            connection.execute(f"create database deep_{name}")
    jobs, studies, runs = (postgres.replace("/postgres?", f"/deep_{name}?") for name in ("jobs", "studies", "runs"))
    flags = {"runtime.job_store": jobs, "optuna.study_storage": studies, "mlflow.tracking_uri": runs}
    return load(environ, flags).settings


def test_databases_of_a_team_are_written_and_read_and_hold_nothing_of_it_afterwards(settings: Settings) -> None:
    import psycopg

    found = {answer.name: answer for answer in deep_answers(settings)}
    assert {name for name in ("jobs", "optuna", "mlflow") if "written and read" in found[name].detail} == {
        "jobs", "optuna", "mlflow"
    }, found  # fmt: skip
    assert names(Work(settings, Tracer(lambda _span: None))) == []
    with psycopg.connect(settings.tracking_uri.replace("+psycopg", "")) as connection:
        assert connection.execute("select count(*) from registered_models").fetchone() == (0,)
    with psycopg.connect(settings.runtime.job_store.get_secret_value()) as connection:
        assert connection.execute("select count(*) from pg_tables where schemaname = 'public'").fetchone() == (0,)
