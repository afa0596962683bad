"""Datasets asked by SQL: the answer is a dataset, exact, the same each time, and made of what it read."""

from __future__ import annotations

import math
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlops_mcp.tools.data import query, sandbox
from mlops_mcp.tools.data.models import QueryResult
from mlops_mcp.tools.data.query import query_dataset
from mlops_mcp.tools.data.statement import query_of
from mlops_mcp.tools.data.store import Dataset, resolve, save
from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.lineage import Lineage
from mlops_mcp.tools.runtime.work import Work

LOANS = {
    "id": [1, 2, 3, 3],
    "region": ["north", "south", None, "north"],
    "amount": [10.5, math.nan, None, 7.0],
}


@pytest.fixture
def loans(work: Work) -> Dataset:
    return save(work, pa.table(LOANS), "loans", ["file:loans.csv"], "load_dataset")


def rows(work: Work, answer: QueryResult) -> list[dict[str, object]]:
    found: list[dict[str, object]] = resolve(work, answer.dataset).table().to_pylist()
    return found


def refused(work: Work, sql: str) -> str:
    with pytest.raises(ToolFailure) as caught:
        query_dataset(work, sql, "")
    return str(caught.value)


def test_rows_are_filtered_cast_renamed_and_derived_into_a_dataset_that_tools_take(work: Work, loans: Dataset) -> None:
    sql = "select id::varchar as code, amount * 2 as twice from loans where region = 'north' order by id"
    answer = query_dataset(work, sql, "northern")
    assert rows(work, answer) == [{"code": "1", "twice": 21.0}, {"code": "3", "twice": 14.0}]
    assert answer.columns == {"code": "string", "twice": "double"}
    assert answer.first_rows == rows(work, answer)
    assert answer.dataset.startswith("dataset:northern@")
    assert answer.undo == f"delete(handle='{answer.dataset}', dry_run=false)"
    assert answer.notes == []


def test_what_it_was_made_of_and_how_is_kept(work: Work, loans: Dataset) -> None:
    save(work, pa.table({"region": ["north"], "chief": ["Ada"]}), "chiefs", [], "load_dataset")
    sql = f'select chief, count(*) as n from "{loans.handle}" join chiefs using (region) group by chief'
    answer = query_dataset(work, sql, "")
    assert rows(work, answer) == [{"chief": "Ada", "n": 2}]
    assert answer.sources == [loans.handle, resolve(work, "chiefs").handle]
    parents = {edge.parent for edge in Lineage(work.home).ancestors(answer.dataset)}
    assert parents >= set(answer.sources)
    assert resolve(work, answer.dataset).info.sql == sql


def test_duplicates_are_dropped_and_a_dataset_joins_itself(work: Work, loans: Dataset) -> None:
    once = query_dataset(work, "select distinct on (id) id, region from loans order by id, region nulls last", "")
    assert rows(work, once) == [
        {"id": 1, "region": "north"},
        {"id": 2, "region": "south"},
        {"id": 3, "region": "north"},
    ]
    both = query_dataset(work, "select a.id, b.region from loans a join Loans b on a.id = b.id + 1 order by 1, 2", "")
    assert [row["region"] for row in rows(work, both)] == ["north", "south", "south"]


def test_the_same_query_gives_the_same_dataset_even_if_it_sums_samples_or_draws(work: Work) -> None:
    many = pa.table({"g": [n % 977 for n in range(200_000)], "x": [math.sin(n) for n in range(200_000)]})
    save(work, many, "many", [], "load_dataset")
    for sql in (
        "select g, sum(x) as s, stddev(x) as d from many group by g",
        "select distinct g from many",
        "select *, random() as r from many using sample 10",
        "select a.g, b.x from many a join many b on a.x = b.x where a.g < 5",
    ):
        first, second = (query_dataset(work, sql, "") for _ in range(2))
        assert first.dataset == second.dataset, sql
        assert first.notes == [], sql


@pytest.mark.parametrize(
    ("expressions", "moves"),
    [
        (("current_date", "current_timestamp", "localtime", "CURRENT_TIME", "localtimestamp"), True),
        (("now()", "today()", "get_current_time()", "transaction_timestamp()", "current_localtimestamp()"), True),
        (("age(timestamp '2024-01-01')", "ago(interval 1 day)", "pg_postmaster_start_time()", "main.now()"), True),
        (("uuid()", "gen_random_uuid()", "uuidv7()", "txid_current()"), True),
        (("random()", "'now()'", "age(timestamp '2024-01-02', timestamp '2024-01-01')::varchar", "1 + 1"), False),
        (("date_diff('day', timestamptz '2024-01-01', timestamptz '2024-02-01')", "year(date '2024-01-01')"), False),
    ],
)
def test_a_query_that_answers_otherwise_each_time_is_known(expressions: tuple[str, ...], moves: bool) -> None:
    with duckdb.connect() as connection:
        for each in expressions:
            assert query_of(connection, f"select count(*) from t where {each} is not null").timely is moves, each


def test_a_query_that_reads_the_clock_says_so(work: Work) -> None:
    assert "reads the clock" in query_dataset(work, "select now() as t", "").notes[0]


def test_pieces_of_a_table_do_not_change_what_a_dataset_is(work: Work) -> None:
    whole = pa.table({"x": list(range(5000)), "t": [f"t{n}" for n in range(5000)]})
    parts = pa.concat_tables([whole.slice(start, 7) for start in range(0, 5000, 7)])
    assert save(work, whole, "a", [], "t").handle == save(work, parts, "a", [], "t").handle


@pytest.mark.parametrize(
    ("sql", "value", "kind"),
    [
        ("9007199254740993", 9007199254740993, "int64"),
        ("sum(9007199254740993::bigint)", 9007199254740993, "int64"),
        ("99999999999999999999::hugeint", "99999999999999999999", "string"),
        ("1.25::decimal(9, 2)", 1.25, "double"),
        ("timestamptz '2024-01-01 12:00:00.000001+02'", "2024-01-01T10:00:00.000001+00:00", "timestamp[us, tz=UTC]"),
        ("date '2024-02-29'", "2024-02-29T00:00:00", "timestamp[us]"),
        ("[1, NULL]", "[1, null]", "list<element: int32>"),
        ("{'a': 1}", '{"a": 1}', "struct<a: int32>"),
        ("'nan'::double", "nan", "double"),
        ("NULL::double", None, "double"),
        ("uuid '00000000-0000-0000-0000-000000000001'", "00000000-0000-0000-0000-000000000001", "string"),
    ],
)
def test_each_kind_of_value_is_stored_and_shown_exactly(work: Work, sql: str, value: object, kind: str) -> None:
    answer = query_dataset(work, f"select {sql} as v", "")
    assert answer.columns == {"v": kind}
    shown = answer.first_rows[0]["v"]
    assert shown == (str(value) if isinstance(value, int) and value > 2**53 else value)


@pytest.mark.parametrize("sql", ["interval 1 day", "union_value(k := 1)", "'101'::bit", "1::bignum"])
def test_what_no_dataset_holds_is_asked_to_be_cast(work: Work, sql: str) -> None:
    assert 'Cast it: "v"::VARCHAR' in refused(work, f"select {sql} as v")


def test_columns_get_names_that_are_distinct_and_plain_and_it_is_said(work: Work) -> None:
    answer = query_dataset(work, 'select 1 as a, 2 as a, 3 as "`q`", 4 as "ü ""x"" y", 5 as A', "")
    assert list(answer.columns) == ["a", "a_2", "q", 'ü "x" y', "A"]
    assert "columns renamed, to be distinct and plain: 'a' → a_2, '`q`' → q" in answer.notes


def test_an_empty_result_keeps_its_columns(work: Work, loans: Dataset) -> None:
    answer = query_dataset(work, "select * from loans where id > 9", "")
    assert (answer.rows, answer.first_rows) == (0, [])
    assert answer.columns == {"id": "int64", "region": "string", "amount": "double"}
    assert answer.notes == ["it returns no rows"]


@pytest.mark.parametrize("name", ["select", "order", "my-data", "table", "sqlite_master", "information_schema"])
def test_any_name_of_a_dataset_can_be_quoted(work: Work, name: str) -> None:
    save(work, pa.table({"x": [1]}), name, [], "t")
    assert query_dataset(work, f'select x from "{name}"', "").first_rows == [{"x": 1}]


def test_a_hyphen_that_is_not_quoted_gets_the_hint(work: Work) -> None:
    save(work, pa.table({"x": [1]}), "my-data", [], "t")
    assert 'stand in double quotes: "my-data"' in refused(work, "select * from my-data")


def test_a_common_table_expression_may_be_called_like_a_dataset(work: Work, loans: Dataset) -> None:
    inner = query_dataset(work, "with loans as (select id from loans where id = 1) select * from loans", "")
    assert rows(work, inner) == [{"id": 1}]
    assert inner.sources == [loans.handle]
    counted = "with recursive loans as (select 1 as n union all select n + 1 from loans where n < 3) from loans"
    assert [row["n"] for row in rows(work, query_dataset(work, counted, ""))] == [1, 2, 3]
    later = query_dataset(work, "with a as (select 7 as x), b as (select x from a) select b.x from b, a", "")
    assert (rows(work, later), later.sources) == ([{"x": 7}], [])


def test_a_path_is_read_as_load_dataset_reads_it(work: Work, tmp_path: Path) -> None:
    (tmp_path / "Some File.csv").write_text("k,v\n007,1\n")
    for quoted in (f'"{tmp_path}/Some File.csv"', f"'{tmp_path}/Some File.csv'"):
        assert query_dataset(work, f"select k from {quoted}", "").first_rows == [{"k": "007"}]


def test_two_paths_that_differ_by_case_alone_are_not_taken_for_one(work: Work, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x\n1\n")
    (tmp_path / "A.csv").write_text("x\n2\n")
    assert "differ by case alone" in refused(work, f"select * from '{tmp_path}/a.csv', '{tmp_path}/A.csv'")


def test_wrong_names_are_answered_with_near_ones_and_mistakes_with_their_place(work: Work, loans: Dataset) -> None:
    assert "unknown dataset 'loan'. Did you mean loans?" in refused(work, "select * from loan")
    wrong = loans.handle[:-1] + ("1" if loans.handle.endswith("0") else "0")
    assert f"Did you mean {loans.handle}?" in refused(work, f'select * from "{wrong}"')
    assert 'Candidate bindings: "amount"' in refused(work, "select amoun from loans")
    assert "LINE 1: select x frm loans\n                     ^" in refused(work, "select x frm loans")
    assert "lowr" in refused(work, "select lowr(region) from loans")
    assert "Conversion" not in refused(work, "select 'x'::int from loans")
    save(work, pa.table({"x": [1]}), "loans", [], "t")
    assert "has 2 versions" in refused(work, "select * from loans")


def test_only_the_first_rows_are_shown_and_what_is_cut_is_said(work: Work) -> None:
    wide = ", ".join(f"range as c{n}" for n in range(50))
    answer = query_dataset(work, f"select repeat('x', 500) as long, {wide} from range(1000)", "")
    assert (answer.rows, len(answer.columns)) == (1000, 40)
    assert 0 < len(answer.first_rows) <= 20
    assert len(answer.first_rows[0]) == 12
    assert answer.first_rows[0]["long"] == "x" * 59 + "…"
    assert len(answer.model_dump_json()) < 6000
    assert answer.notes == [
        "first_rows leaves out 39 columns",
        "first_rows cuts cells at 60 characters",
        "11 more columns; describe_dataset pages through all",
    ]


@pytest.mark.parametrize(
    ("sql", "first"),
    [
        ("describe loans", {"column_name": "id", "column_type": "BIGINT"}),
        ("summarize loans", {"column_name": "id", "min": "1", "max": "3"}),
        ("values (1), (2)", {"col0": 1}),
        ("from loans select id limit 1;", {"id": 1}),
        ("table loans -- all of it", {"id": 1}),
        ("pivot loans on region in ('north', 'south') using count(*) group by id order by id", {"north": 1}),
        ("unpivot (select 1 as a, 2 as b) on a, b", {"name": "a", "value": 1}),
        ("select id from loans union all by name select 9 as id", {"id": 1}),
        ("select [y + 1 for y in [id]] as l from loans", {"l": "[2]"}),
        ("select count(*) as n from range(5), unnest([1, 2])", {"n": 10}),
    ],
)
def test_every_form_of_a_query_works(work: Work, loans: Dataset, sql: str, first: dict[str, object]) -> None:
    shown = query_dataset(work, sql, "").first_rows[0]
    assert {name: shown[name] for name in first} == first


def test_a_pivot_without_its_values_gets_the_way_out(work: Work, loans: Dataset) -> None:
    assert "ON c IN ('a', 'b')" in refused(work, "pivot loans on region using count(*)")


def test_columns_of_every_stored_type_pass_through(work: Work) -> None:
    table = pa.table(
        {
            "u": pa.array([2**64 - 1], pa.uint64()),
            "i": pa.array([1], pa.int8()),
            "t": pa.array([3_600_000_000], pa.time64("us")),
            "n": pa.nulls(1),
            "l": pa.array([[{"a": 1, "b": None}]], pa.list_(pa.struct([("a", pa.int64()), ("b", pa.string())]))),
            "z": pa.array([0], pa.timestamp("us", "UTC")),
        }
    )
    kept = save(work, table, "kinds", [], "t").table()
    answer = resolve(work, query_dataset(work, "select * from kinds", "").dataset).table()
    assert answer.drop_columns("n").to_pylist() == kept.drop_columns("n").to_pylist()
    assert answer["n"].to_pylist() == [None]
    assert pq.read_schema(resolve(work, "kinds").path).names == answer.column_names


def test_durations_are_numbers_and_it_is_said(work: Work) -> None:
    save(work, pa.table({"d": pa.array([5_000_000], pa.duration("us"))}), "spans", [], "t")
    answer = query_dataset(work, "select * from spans", "")
    assert answer.first_rows == [{"d": 5_000_000}]
    assert answer.notes == ["durations are whole numbers here: spans.d (us)"]


def test_columns_that_differ_by_case_alone_are_refused(work: Work) -> None:
    save(work, pa.table({"A": [1], "a": [2]}), "twins", [], "test")
    assert "SQL cannot tell apart: 'A' and 'a'" in refused(work, "select a from twins")


def test_times_beyond_the_calendar_are_shown_and_times_of_day_have_microseconds(work: Work) -> None:
    assert query_dataset(work, "select '290000-01-01'::date t", "far").rows == 1
    fine = save(work, pa.table({"t": pa.array([1001, None], pa.time64("ns"))}), "fine", [], "test")
    assert fine.table()["t"].type == pa.time64("us")
    assert "time64[ns] stored as time64[us]" in fine.info.notes[0]


@pytest.mark.parametrize(
    ("condition", "ids"),
    [("isnan(x)", [2]), ("x > 9", [2]), ("x <> 1", [2, 3]), ("not isnan(x)", [1, 3]), ("x = 'nan'::double", [2])],
)
def test_rows_that_hold_no_number_are_found_though_the_limits_of_a_file_leave_them_out(
    work: Work, condition: str, ids: list[int]
) -> None:
    save(work, pa.table({"id": [1, 2, 3], "x": [1.0, math.nan, 2.0]}), "real", [], "test")
    answer = query_dataset(work, f"select id from real where {condition} order by id", "")
    assert [row["id"] for row in rows(work, answer)] == ids


def test_rows_that_wait_on_disk_are_stored_as_those_in_memory(
    work: Work, loans: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    sql = (
        "select range as id, date '2024-01-01' + range::int as day, sum(range) over (order by range) as whole,"
        " case when range < 4000 then 1::hugeint else 10::hugeint ^ 20 end as huge, 'x' as \" text \""
        " from range(5000) order by id"
    )
    held = query_dataset(work, sql, "held")
    monkeypatch.setattr(sandbox, "HELD", 1000)
    monkeypatch.setattr(sandbox, "BATCH", 1000)
    read = list[object]()
    monkeypatch.setattr(query, "save", lambda *given: read.append(given))
    spilled = query_dataset(work, sql, "spilled")
    assert resolve(work, spilled.dataset).path == resolve(work, held.dataset).path
    assert (spilled.notes, spilled.columns, read) == (held.notes, held.columns, [])
    assert held.notes
    assert not list((work.home / "queries").iterdir())
