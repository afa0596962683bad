"""Attempts to get out of the SQL of query_dataset: each is refused or does nothing, and the process lives on."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pytest

from mlops_mcp.config.settings import Settings
from mlops_mcp.tools.data.query import query_dataset
from mlops_mcp.tools.data.store import save
from mlops_mcp.tools.errors import OutOfMemory, ToolFailure
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.tracing.span import Tracer

SECRET = "never-to-be-read"


@pytest.fixture
def work(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Work:
    """An installation with a dataset, beside a file and a variable that are none of the agent's business."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.csv").write_text(f"word\n{SECRET}\n")
    monkeypatch.setenv("SECRET_WORD", SECRET)
    monkeypatch.chdir(outside)
    data = settings.data.model_copy(update={"roots": (tmp_path / "open",), "query_timeout_s": 20.0})
    work = Work(settings.model_copy(update={"data": data}), Tracer(lambda _span: None))
    save(work, pa.table({"x": [1, 2]}), "loans", [], "t")
    return work


ATTEMPTS = {
    "files": [
        "select * from 'secret.csv'",
        'select * from "secret.csv"',
        "select * from '{outside}/secret.csv'",
        "select * from read_csv('{outside}/secret.csv')",
        "select * from read_csv_auto(['{outside}/secret.csv'])",
        "select * from system.main.read_csv('{outside}/secret.csv')",
        "select * from sniff_csv('{outside}/secret.csv')",
        "select * from read_text('{outside}/secret.csv')",
        "select * from read_blob('{outside}/secret.csv')",
        "select * from read_json('{outside}/secret.csv')",
        "select * from read_parquet('{home}/datasets/*.parquet')",
        "select * from parquet_scan('{home}/datasets/*.parquet')",
        "select * from parquet_metadata('{home}/datasets/*.parquet')",
        "select * from glob('{outside}/*')",
        "select * from (select * from (from read_text('{outside}/secret.csv')))",
        "with a as (select * from read_text('{outside}/secret.csv')) select * from a, loans",
        "select (select content from read_text('{outside}/secret.csv')) as c from loans",
        "select * from loans where x in (select 1 from read_text('{outside}/secret.csv'))",
        "select * from loans, lateral (select * from read_text('{outside}/secret.csv'))",
        "describe select * from read_text('{outside}/secret.csv')",
        "summarize from read_text('{outside}/secret.csv')",
        "select * from pivot_wider, read_text('{outside}/secret.csv')",
        "copy (select 1) to '{outside}/made.csv'",
        "copy loans from '{outside}/secret.csv'",
        "export database '{outside}/made'",
        "import database '{outside}'",
        "attach '{outside}/made.db' as other",
        "create table made as select * from read_text('{outside}/secret.csv')",
        "with a as (insert into loans values (3) returning *) select * from a",
    ],
    "network": [
        "select * from 'http://127.0.0.1:1/x.csv'",
        "select * from read_csv('https://127.0.0.1:1/x.csv')",
        "select * from 's3://bucket/x.parquet'",
        "select * from postgres_scan('host=127.0.0.1', 'public', 't')",
        "select * from sqlite_scan('{outside}/made.db', 't')",
    ],
    "settings, secrets and the environment": [
        "install httpfs",
        "load httpfs",
        "set enable_external_access = true",
        "reset lock_configuration",
        "pragma database_list",
        "call pragma_database_size()",
        "checkpoint",
        "use system",
        "create secret s (type s3, key_id 'a', secret 'b')",
        "select * from duckdb_secrets()",
        "select * from duckdb_settings()",
        "select * from duckdb_extensions()",
        "select current_setting('home_directory') as s",
        "select getenv('SECRET_WORD') as s",
        "select main.getenv('SECRET_WORD') as s",
        "select getvariable('x') as s",
        "set variable x = 1",
        "show all",
        "show tables",
        "select * from information_schema.tables",
        "select * from duckdb_tables",
        "select * from sqlite_master",
        "select * from main.loans",
    ],
    "SQL inside SQL, several statements, Python": [
        "select 1; select 2",
        "select 1; drop view loans",
        "select 1 /* ; */ ; copy loans to '{outside}/made.csv' -- ",
        "select * from query('select * from read_text(''{outside}/secret.csv'')')",
        "select * from query_table('secret.csv')",
        "select * from json_execute_serialized_sql(json_serialize_sql('select 1'))",
        "pragma json_execute_serialized_sql('x')",
        "prepare p as select 1",
        "execute p",
        "explain analyze select 1",
        "select * from ATTEMPTS",
        "select * from work",
        "select * from arrow_scan(1, 2, 3)",
        "select * from pandas_scan(1)",
        "select * from loans where write_log('x') is null",
        "",
        "-- nothing",
        "select " + "(" * 3000 + "1" + ")" * 3000,
        "select " + "1 + " * 3000 + "1",
        "select * from " + "(select * from " * 900 + "loans" + ")" * 900,
        "x" * 30_000,
    ],
}


@pytest.mark.parametrize("kind", ATTEMPTS)
def test_no_query_reaches_anything_but_datasets(work: Work, tmp_path: Path, kind: str) -> None:
    outside = tmp_path / "outside"
    for attempt in ATTEMPTS[kind]:
        said = refused(work, attempt.replace("{outside}", str(outside)).replace("{home}", str(work.home)))
        assert SECRET not in said, attempt
        assert len(said) < 2000, attempt
        assert sorted(os.listdir(outside)) == ["secret.csv"], attempt
    assert query_dataset(work, "select sum(x) as s from loans", "").first_rows == [{"s": 3}]


def refused(work: Work, sql: str) -> str:
    try:
        answer = query_dataset(work, sql, "")
    except ToolFailure as failure:
        return str(failure)
    pytest.fail(f"{sql[:200]} was answered with {answer}")


@pytest.mark.parametrize(
    ("sql", "value"),
    [
        ("select ';drop view loans' as s", ";drop view loans"),
        ("select 'read_text(''/etc/passwd'')' as s", "read_text('/etc/passwd')"),
        ('select x as "getenv" from loans limit 1', 1),
        ("select max(x) as s /* attach 'x' */ from loans -- ; copy", 2),
        ("select count(*) as s from range(3) query", 3),
    ],
)
def test_words_that_only_look_like_an_attempt_are_let_through(work: Work, sql: str, value: object) -> None:
    assert list(query_dataset(work, sql, "").first_rows[0].values()) == [value]


def bounded(work: Work, **limits: float) -> Work:
    data = work.settings.data.model_copy(update=limits)
    return Work(work.settings.model_copy(update={"data": data}), Tracer(lambda _span: None))


@pytest.mark.parametrize(
    "sql",
    [
        "with recursive r as (select 1 as x union all select x + 1 from r) select max(x) from r",
        "select sum(a.range * b.range) from range(1000000) a, range(1000000) b",
    ],
)
def test_a_query_without_end_is_ended(work: Work, sql: str) -> None:
    with pytest.raises(ToolFailure, match=r"longer than 0\.5 s \(data\.query_timeout_s\)"):
        query_dataset(bounded(work, query_timeout_s=0.5), sql, "")


LATE = {
    "the time is up": ("select n, hash(n) as h from range(100000000000) t(n)", r"longer than 0\.5 s"),
    "a cell cannot be cast": (
        "select (case when n = 900000 then 'x' else '1' end)::int as n from range(1000000) t(n)",
        "^Could not convert string 'x' to INT32",
    ),
}


@pytest.mark.parametrize(("sql", "said"), LATE.values(), ids=LATE)
def test_what_goes_wrong_while_rows_come_is_said_as_before_they_do(work: Work, sql: str, said: str) -> None:
    with pytest.raises(ToolFailure, match=said):
        query_dataset(bounded(work, query_timeout_s=0.5 if "0\\.5" in said else 60, max_mb=1_000_000), sql, "")
    assert not list((work.home / "queries").iterdir())


def test_a_query_prints_nothing(work: Work, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ToolFailure):
        query_dataset(bounded(work, query_timeout_s=4), "select sum(hash(x)) as s from range(9000000000) t(x)", "")
    assert "".join(capfd.readouterr()) == ""


@pytest.mark.parametrize(
    "sql",
    [
        "select string_agg(repeat('x', 1000000), '') as s from range(1000)",
        "select list(n) as l from range(20000000) t(n)",
        "select * from range(30000000) t(n) order by hash(n)",
    ],
)
def test_a_query_that_takes_too_much_memory_is_ended(work: Work, sql: str) -> None:
    small = bounded(work, query_memory_mb=64, query_spill_mb=16, query_timeout_s=120)
    with pytest.raises(OutOfMemory, match=r"64 MB \(data\.query_memory_mb\)"):
        query_dataset(small, sql, "")


def test_what_does_not_fit_into_memory_lies_in_the_state_folder_while_the_query_runs(work: Work) -> None:
    tight = bounded(work, query_memory_mb=24, query_spill_mb=2000, query_timeout_s=120)
    sql = "select last(n) as m, count(*) as c from (select n from range(3000000) t(n) order by n desc)"
    assert query_dataset(tight, sql, "").first_rows == [{"m": 0, "c": 3_000_000}]
    with pytest.raises(OutOfMemory):
        query_dataset(bounded(work, query_memory_mb=24, query_spill_mb=1), sql, "")
    assert os.listdir(work.home / "queries") == []


def test_what_a_killed_query_left_behind_is_removed(work: Work) -> None:
    left = work.home / "queries" / "tmpkilled"
    left.mkdir(parents=True)
    (left / "spill").touch()
    query_dataset(work, "select 1 as a", "")
    assert left.exists()
    os.utime(left, (1, 1))
    query_dataset(work, "select 1 as a", "")
    assert not left.exists()


def test_a_result_that_is_too_large_is_refused_with_the_setting(work: Work) -> None:
    with pytest.raises(ToolFailure, match=r"larger than 1 MB \(data\.max_mb\)"):
        query_dataset(bounded(work, max_mb=1), "select range as n, repeat('x', 50) as t from range(1000000)", "")


@pytest.mark.parametrize("text", ["repeat('x', 10000000000)", "lpad('x', 4000000000, 'y')"])
def test_a_text_that_is_too_large_is_refused(work: Work, text: str) -> None:
    with pytest.raises(ToolFailure):
        query_dataset(bounded(work, query_memory_mb=64), f"select length({text}) as n", "")
