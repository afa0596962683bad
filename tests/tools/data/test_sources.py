"""Files of SQLite and DuckDB as sources, and what holds for every source."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import duckdb
import pytest
from mcp import Client
from pydantic import SecretStr

from mlops_mcp.config.errors import SettingsError
from mlops_mcp.config.load import load
from mlops_mcp.config.secrets import secret_values, without_secrets
from mlops_mcp.config.settings import Settings
from mlops_mcp.tools.data.client import load_dataset
from mlops_mcp.tools.data.models import ReadOptions
from mlops_mcp.tools.data.store import Dataset, load_source, resolve
from mlops_mcp.tools.errors import ToolFailure, Unavailable
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.tracing.redaction import redact
from mlops_mcp.tools.tracing.span import Tracer

from ...conftest import connected


@pytest.fixture
def lite(tmp_path: Path) -> Path:
    file = tmp_path / "shop 1.sqlite"
    with sqlite3.connect(file) as connection:
        connection.executescript("""
            create table loans (id integer, amount real, town text, raw blob, day date, odd);
            insert into loans values (9007199254740993, 1.5, 'Łódź', x'ff00', '2024-01-31', 1);
            insert into loans values (2, null, null, null, null, 'x');
            create view few as select id from loans limit 1;
        """)
    connection.close()
    return file


@pytest.fixture
def duck(tmp_path: Path) -> Path:
    file = tmp_path / "shop.duckdb"
    with duckdb.connect(str(file)) as connection:
        connection.execute("create schema s")
        connection.execute("create table s.loans as select n, n / 2 as half from range(3) t(n)")
    return file


@pytest.fixture
def settings(settings: Settings, lite: Path, duck: Path) -> Settings:
    sources = {"lite": f"sqlite:///{lite}", "duck": f"duckdb:///{duck}", "gone": "sqlite:////nothing/here.db"}
    found = {name: SecretStr(url) for name, url in sources.items()}
    data = settings.data.model_copy(update={"sources": found, "query_timeout_s": 20.0, "max_mb": 50})
    return settings.model_copy(update={"data": data})


def refused(work: Work, source: str, sql: str) -> str:
    with pytest.raises(ToolFailure) as caught:
        load_source(work, source, sql, "")
    return str(caught.value)


def test_sqlite_is_read_with_the_values_that_it_holds(work: Work) -> None:
    stored = load_source(work, "lite", "select * from loans", "")
    assert stored.table().to_pylist() == [
        {"id": 9007199254740993, "amount": 1.5, "town": "Łódź", "day": "2024-01-31", "odd": "1"},
        {"id": 2, "amount": None, "town": None, "day": None, "odd": "x"},
    ]
    assert "holds values of several types, so kept as text: odd" in stored.info.notes
    assert "left out, since binary: raw" in stored.info.notes


def test_types_can_be_asked_for_as_with_files(work: Work) -> None:
    stored = load_source(work, "lite", "select day from loans", "", ReadOptions(types={"day": "time"}))
    assert str(stored.table().schema.field("day").type) == "timestamp[us]"


def test_duckdb_is_read_by_the_rules_of_query_dataset(work: Work) -> None:
    stored = load_source(work, "duck", "select * from s.loans order by n", "halves")
    assert stored.table().to_pydict() == {"n": [0, 1, 2], "half": [0.0, 0.5, 1.0]}
    assert stored.handle.startswith("dataset:halves@")


def test_an_empty_result_keeps_its_columns(work: Work) -> None:
    assert load_source(work, "lite", "select id, id from loans where 0", "").info.columns == ["id", "id_2"]
    assert load_source(work, "duck", "select n from s.loans where n > 9", "").info.rows == 0


@pytest.mark.parametrize(
    "sql",
    [
        "delete from loans",
        "with x as (select 1) insert into loans (id) select * from x",
        "create temp table t as select 1",
        "attach '{other}' as other",
        "pragma writable_schema = 1",
        "vacuum into '{other}'",
        "select load_extension('x')",
        "select writefile('{other}', 'x')",
        "select 1; drop table loans",
        "begin",
        "select zeroblob(1000000000)",
        "select count(*) from fts3_tokenizer",
        "",
    ],
)
def test_a_statement_that_does_more_than_read_sqlite_is_refused(work: Work, tmp_path: Path, sql: str) -> None:
    other = tmp_path / "other.db"
    refused(work, "lite", sql.replace("{other}", str(other)))
    assert not other.exists()
    assert load_source(work, "lite", "select count(*) as n from loans", "").table().to_pylist() == [{"n": 2}]


@pytest.mark.parametrize(
    "sql",
    [
        "create table t as select 1",
        "insert into s.loans values (1, 2)",
        "attach '{other}' as other",
        "copy s.loans to '{other}'",
        "select * from read_text('/etc/hostname')",
        "select * from '/etc/hostname'",
        "select * from duckdb_settings()",
        "select 1; select 2",
    ],
)
def test_a_statement_that_does_more_than_read_duckdb_is_refused(work: Work, tmp_path: Path, sql: str) -> None:
    other = tmp_path / "other.db"
    refused(work, "duck", sql.replace("{other}", str(other)))
    assert not other.exists()


def test_wrong_names_are_answered_with_the_right_ones(work: Work) -> None:
    assert "unknown source 'lita'. Did you mean lite?" in refused(work, "lita", "select 1")
    assert "unknown table of lite 'loan'. Did you mean loans?" in refused(work, "lite", "select * from loan")
    assert "no such column: amoun" in refused(work, "lite", "select amoun from loans")
    assert 'Did you mean "s.loans"' in refused(work, "duck", "select * from loans")
    with pytest.raises(Unavailable, match=r"gone.*data\.sources\.gone"):
        load_source(work, "gone", "select 1", "")


def test_a_file_that_is_no_database_is_unavailable(work: Work, lite: Path, duck: Path) -> None:
    for file in (lite, duck):
        file.write_text("no database at all, but long enough to be looked at " * 20)
    for source in ("lite", "duck"):
        with pytest.raises(Unavailable, match=source):
            load_source(work, source, "select 1", "")


def test_what_takes_too_long_or_is_too_large_is_ended(settings: Settings) -> None:
    data = settings.data.model_copy(update={"query_timeout_s": 0.3, "max_mb": 1})
    work = Work(settings.model_copy(update={"data": data}), Tracer(lambda _span: None))
    endless = "with recursive r(x) as (select 1 union all select x + 1 from r)"
    assert "longer than 0.3 s" in refused(work, "lite", f"{endless} select max(x) from r")
    assert "larger than 1 MB" in refused(work, "lite", f"{endless} select x, hex(zeroblob(500)) from r limit 5000")


def test_a_table_of_a_source_is_named_as_a_dataset(work: Work) -> None:
    found: Dataset = resolve(work, "source:lite/few")
    assert (found.name, found.info.source, found.info.rows) == ("few", "source:lite", 1)
    assert resolve(work, "source:duck/s.loans").info.rows == 3
    for text in ("source:lite", "source:lite/"):
        with pytest.raises(ToolFailure, match=r"names no table.*source:lite/<table>"):
            resolve(work, text)
    with pytest.raises(ToolFailure, match=r"unknown table of lite 'loans\"; drop'"):
        resolve(work, 'source:lite/loans"; drop')


def test_either_a_file_or_a_source_is_loaded(work: Work) -> None:
    for arguments in (("", "", None, "", ""), ("x.csv", "", None, "lite", "select 1"), ("", "", None, "", "select 1")):
        with pytest.raises(ToolFailure, match=r"either `path` or `source`.*lite, duck, gone"):
            load_dataset(work, *arguments)


def test_addresses_are_secrets_and_only_known_ones_are_taken(environ: dict[str, str]) -> None:
    address = "postgresql://me:hunter2@db/shop"
    loaded = load(environ | {"MLOPS_DATA__SOURCES": f"{{shop: '{address}'}}"})
    assert secret_values(loaded.settings.data) == [address]
    assert "hunter2" not in str(list(loaded.report(redact))) + str(without_secrets(loaded.settings))
    for given in ("{shop: 'mysql://me:hunter2@db'}", "{'a b': 'sqlite:///x'}"):
        with pytest.raises(SettingsError, match=r"data\.sources") as caught:
            load(environ | {"MLOPS_DATA__SOURCES": given})
        assert "hunter2" not in str(caught.value)


async def test_an_agent_loads_validates_queries_and_takes_the_handle_on(settings: Settings) -> None:
    async with connected(settings) as client:
        made = await told(client, "load_dataset", source="lite", sql="select id, amount from loans", name="mine")
        assert made["sql"] == "select id, amount from loans"
        asked = await told(client, "query_dataset", sql="select * from mine where amount > 1", name="big")
        assert asked["first_rows"] == [{"id": "9007199254740993", "amount": 1.5}]
        described = await told(client, "describe_dataset", dataset=asked["dataset"])
        assert described["rows"] == 1
        seen = await told(client, "describe_dataset", dataset="source:lite/few")
        assert seen["rows"] == 1


async def told(client: Client, tool: str, **arguments: object) -> dict[str, object]:
    answer = await client.call_tool(tool, arguments)
    assert not answer.is_error, answer.content
    return answer.structured_content or {}
