"""A PostgreSQL database as a source: read by one statement, exactly, and never written."""

from __future__ import annotations

import datetime
import math
from collections.abc import Generator

import psycopg
import pytest
from pydantic import SecretStr

from mlops_mcp.config.settings import Settings
from mlops_mcp.tools.data.client import load_dataset
from mlops_mcp.tools.data.description import describe_dataset
from mlops_mcp.tools.data.query import query_dataset
from mlops_mcp.tools.data.store import Dataset, load_source, resolve
from mlops_mcp.tools.errors import ToolFailure, Unavailable
from mlops_mcp.tools.lineage import Lineage
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.tracing.span import Tracer

SCHEMA = """
drop schema if exists shop cascade;
create schema shop;
create type shop.mood as enum ('calm', 'cross');
create table shop.loans (
  id bigint, amount numeric(12, 2), exact numeric, share float8, small float4, paid bool, born date, seen timestamptz,
  made timestamp, about jsonb, tags text[], counts int[], code uuid, mood shop.mood, raw bytea, gone text, at time);
insert into shop.loans values
  (9007199254740993, 1234.50, 12345678901234567, 0.1, 0.1, true, '2024-02-29', '2024-01-01 00:00:00+02',
   '2024-01-01 00:00:00.000001', '{"a": [1, null]}', '{x,NULL,"y z"}', '{1,2}', '00000000-0000-0000-0000-000000000001',
   'calm', 'text', null, '10:30'),
  (null, null, null, 'NaN', null, null, null, null, null, null, null, null, null, null, null, null, null);
do $$ begin
  if not exists (select from pg_roles where rolname = 'reader') then create role reader login; end if;
end $$;
grant usage on schema shop to reader;
grant select on all tables in schema shop to reader;
"""


@pytest.fixture(scope="module")
def shop(postgres: str) -> Generator[str]:
    """The address of a database with a table, for a role that may only read it."""
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(SCHEMA)
    yield postgres.replace("tester@", "reader@")
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("drop schema shop cascade")


def reading(settings: Settings, timeout_s: float = 60, max_mb: int = 100, **sources: str) -> Work:
    limits = {"query_timeout_s": timeout_s, "max_mb": max_mb}
    named = {name: SecretStr(url) for name, url in sources.items()}
    data = settings.data.model_copy(update={"sources": named, **limits})
    return Work(settings.model_copy(update={"data": data}), Tracer(lambda _span: None))


@pytest.fixture
def work(settings: Settings, shop: str) -> Work:
    return reading(settings, shop=shop)


def read(work: Work, sql: str) -> Dataset:
    return load_source(work, "shop", sql, "")


def refused(work: Work, sql: str) -> str:
    with pytest.raises(ToolFailure) as caught:
        read(work, sql)
    return str(caught.value)


def test_each_type_of_postgresql_comes_out_with_its_value(work: Work) -> None:
    stored = read(work, "select * from shop.loans order by id nulls last")
    first, second = stored.table().to_pylist()
    utc = datetime.UTC
    assert first == {
        "id": 9007199254740993,
        "amount": 1234.5,
        "exact": 12345678901234567,
        "share": 0.1,
        "small": 0.1,
        "paid": True,
        "born": datetime.datetime(2024, 2, 29),
        "seen": datetime.datetime(2023, 12, 31, 22, tzinfo=utc),
        "made": datetime.datetime(2024, 1, 1, 0, 0, 0, 1),
        "about": '{"a": [1, null]}',
        "tags": ["x", None, "y z"],
        "counts": [1, 2],
        "code": "00000000-0000-0000-0000-000000000001",
        "mood": "calm",
        "raw": "text",
        "gone": None,
        "at": "10:30:00",
    }
    assert math.isnan(second.pop("share"))
    assert set(second.values()) == {None}
    assert any("amount: numeric stored as double" in note for note in stored.info.notes)


def test_the_statement_and_the_source_are_kept_with_the_dataset(work: Work) -> None:
    sql = "select id from shop.loans"
    info = load_dataset(work, "", "mine", None, "shop", sql)
    assert info.sql == sql
    assert info.source == "source:shop"
    assert info.undo == f"delete(handle='{info.dataset}', dry_run=false)"
    assert [edge.parent for edge in Lineage(work.home).ancestors(info.dataset)] == ["source:shop"]
    assert load_dataset(work, "", "mine", None, "shop", sql).dataset == info.dataset


def test_an_empty_result_keeps_its_columns_and_their_types(work: Work) -> None:
    table = read(work, "select id, seen, amount from shop.loans where false").table()
    assert table.num_rows == 0
    assert [str(kind) for kind in table.schema.types] == ["int64", "timestamp[us, tz=UTC]", "int64"]


def test_sums_beyond_64_bits_stay_exact_as_text_and_it_is_said(work: Work) -> None:
    stored = read(work, "select 99999999999999999999999::numeric as n, 'infinity'::timestamptz as t")
    assert stored.table().to_pylist() == [{"n": "99999999999999999999999", "t": None}]
    assert stored.info.notes == ["n: numeric beyond 64 bits, kept as text", "t: infinite times read as missing"]


def test_columns_of_the_same_name_are_told_apart(work: Work) -> None:
    assert read(work, 'select 1 as a, 2 as a, 3 as "ü ""x"').info.columns == ["a", "a_2", 'ü "x']


def test_many_rows_are_read_in_pieces(work: Work) -> None:
    table = read(work, "select n, n::numeric as exact from generate_series(1, 25000) n").table()
    assert table["exact"].to_pylist() == list(range(1, 25001))


def test_a_table_of_a_source_goes_where_a_dataset_goes(work: Work) -> None:
    found = resolve(work, "source:shop/shop.loans")
    assert found.name == "shop_loans"
    assert describe_dataset(work, "source:shop/shop.loans", ["id"], 5, "").rows == 2
    joined = query_dataset(work, 'select count(id) as n from "source:shop/shop.loans"', "")
    assert joined.first_rows == [{"n": 1}]
    assert joined.sources == [found.handle]


@pytest.mark.parametrize(
    "sql",
    [
        "delete from shop.loans",
        "insert into shop.loans (id) values (1)",
        "with gone as (delete from shop.loans returning *) select * from gone",
        "select 1; drop table shop.loans",
        "select * into copied from shop.loans",
        "copy shop.loans to program 'touch /tmp/never'",
        "select set_config('transaction_read_only', 'off', false)",
        "select \"set_config\"('role', 'none', false)",
        "select U&\"set\\005fconfig\"('role', 'none', false)",
        "select pg_read_file('/etc/passwd')",
        "select lo_import('/etc/passwd')",
        "select query_to_xml('select 1', true, true, '')",
        "select pg_sleep(3600)",
        "select nextval('s')",
        "select * from shop.loans for update",
        "do $$ begin perform 1; end $$",
        "set statement_timeout = 0",
        "commit",
    ],
)
def test_whatever_does_more_than_read_is_refused(work: Work, postgres: str, sql: str) -> None:
    refused(work, sql)
    with psycopg.connect(postgres) as connection:
        assert connection.execute("select count(*) from shop.loans").fetchone() == (2,)


def test_a_superuser_reads_tables_and_no_files_of_the_server(settings: Settings, postgres: str, shop: str) -> None:
    work = reading(settings, shop=postgres)
    stored = read(work, "select current_user::text as me, count(*) as n from shop.loans")
    assert stored.table().to_pylist() == [{"me": "pg_read_all_data", "n": 2}]
    assert "connects as a superuser" in stored.info.notes[0]
    for sql in ("delete from shop.loans", "select pg_ls_dir('.')", "select * from pg_authid"):
        refused(work, sql)


def test_wrong_names_are_answered_with_the_right_ones(work: Work) -> None:
    assert "unknown table of shop 'shop.loan'. Did you mean shop.loans?" in refused(work, "select * from shop.loan")
    assert 'Perhaps you meant to reference the column "loans.amount"' in refused(work, "select amoun from shop.loans")
    assert 'syntax error at or near "frm"' in refused(work, "select * frm loans")
    with pytest.raises(ToolFailure, match=r"unknown source 'shap'\. Did you mean shop"):
        load_source(work, "shap", "select 1", "")


def test_a_statement_that_takes_too_long_or_returns_too_much_is_ended(settings: Settings, shop: str) -> None:
    slow = reading(settings, timeout_s=0.3, shop=shop)
    assert "longer than 0.3 s" in refused(slow, "select count(*) from generate_series(1, 1000000000) n")
    small = reading(settings, max_mb=1, shop=shop)
    assert "larger than 1 MB" in refused(small, "select n, repeat('x', 100) from generate_series(1, 100000) n")


def test_a_server_that_does_not_answer_is_named_without_the_password(settings: Settings) -> None:
    work = reading(settings, shop="postgresql://me:hunter2@127.0.0.1:1/db")
    with pytest.raises(Unavailable) as caught:
        read(work, "select 1")
    assert "127.0.0.1" in str(caught.value)
    assert "data.sources.shop" in str(caught.value)
    assert "hunter2" not in str(caught.value)
    with pytest.raises(Unavailable, match="its address cannot be read"):
        read(reading(settings, shop="postgresql://me:hunter2%zz@host/db"), "select 1")


def test_arrays_of_arrays_are_asked_to_be_cast(work: Work) -> None:
    assert "Cast it: m::text" in refused(work, "select array[array[1], array[2]] as m")
