"""The job table has a schema of its own in PostgreSQL, beside whatever else a database holds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mlops_mcp.tools.errors import Unavailable
from mlops_mcp.tools.runtime.jobs.backends import INDEXES, TABLE, backend_of
from mlops_mcp.tools.runtime.jobs.table import JobTable
from mlops_mcp.tools.storage.postgres import SCHEMA

pytestmark = pytest.mark.slow
ROW = (
    "insert into jobs(id, tool, function, request, state, attempt, attempts, trace_id, span_id, settings, folder, "
    "created, ended) values('old', 'x', 'a:b', '{}', 'done', 1, 2, '', '', '{}', '/', 1, 2)"
)
OF_MLFLOW = "create table jobs(id varchar(36) primary key, creation_time bigint, job_name varchar(500), status integer)"


@pytest.fixture
def database(postgres: str) -> Iterator[str]:
    """An empty database; `poor` may use it and make nothing in it."""
    import psycopg

    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("create database schemas")
        connection.execute("create role poor login")
    yield postgres.replace("/postgres?", "/schemas?")
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("drop database schemas with (force)")
        connection.execute("drop role poor")


def told(address: str, *statements: str) -> list[tuple[object, ...]]:
    import psycopg

    with psycopg.connect(address, autocommit=True) as connection:
        found = [connection.execute(each.encode()) for each in statements]
        return found[-1].fetchall() if found[-1].description else []


def table(address: str, tmp_path: Path) -> JobTable:
    return JobTable(backend_of(address, tmp_path / "jobs.db"))


WHERE = "select table_schema from information_schema.tables where table_name='jobs' order by 1"


def test_the_table_of_an_older_version_is_taken_along_with_its_jobs(database: str, tmp_path: Path) -> None:
    told(database, TABLE, INDEXES, ROW)
    for _ in range(2):
        assert table(database, tmp_path).get("old").ended == 2
    assert told(database, WHERE) == [(SCHEMA,)]
    assert (SCHEMA,) in told(database, "select schemaname from pg_indexes where indexname='jobs_call'")


def test_the_table_jobs_of_somebody_else_is_left_as_it_is(database: str, tmp_path: Path) -> None:
    told(database, OF_MLFLOW, "insert into jobs values('a', 1, 'theirs', 0)")
    with pytest.raises(KeyError):
        table(database, tmp_path).get("a")
    assert told(database, WHERE) == [(SCHEMA,), ("public",)]
    assert told(database, "select * from jobs") == [("a", 1, "theirs", 0)]


def test_who_may_make_no_schema_is_told_and_uses_the_one_that_was_made(database: str, tmp_path: Path) -> None:
    poor = database.replace("tester@", "poor@")
    with pytest.raises(Unavailable, match="permission denied") as caught:
        table(poor, tmp_path).get("a")
    assert f"needs the schema {SCHEMA}, or the right to create it" in caught.value.hint
    told(database, f"create schema {SCHEMA} authorization poor")
    with pytest.raises(KeyError):
        table(poor, tmp_path).get("a")
