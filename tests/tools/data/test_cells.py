"""Numbers and times as people write them: read and said, asked for, or left as they are."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_mcp.tools.data.cells import Convention, as_kind, read_column
from mlops_mcp.tools.data.description import describe_dataset
from mlops_mcp.tools.data.models import ReadOptions
from mlops_mcp.tools.data.plain import MISSING
from mlops_mcp.tools.data.store import load_file
from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.runtime.work import Work

from .conftest import Load

INF = float("inf")
NUMBERS: list[tuple[list[str], list[object], str]] = [
    (["1,5", "2,25"], [1.5, 2.25], "decimal commas"),
    (["1.234,56", "7,00"], [1234.56, 7.0], "grouped thousands"),
    (["1.234", "0,5"], [1234.0, 0.5], "decimal commas"),
    (["1.234", "2.5"], [1.234, 2.5], ""),
    (["0e12345", "12e4567"], ["0e12345", "12e4567"], "lose digits"),
    (["1.5e400", "2"], ["1.5e400", "2"], "lose digits"),
    (["1,234.5", "99"], [1234.5, 99.0], "grouped thousands"),
    (["1,234,567", "12"], [1234567, 12], "grouped thousands"),
    (["1,23,456", "7"], [123456, 7], "grouped thousands"),
    (["1'234.50", "99.95"], [1234.5, 99.95], "grouped thousands"),
    (["1\u2019234\u2019567", "1"], [1234567, 1], "grouped thousands"),
    (["1 234,5", "2 000,0"], [1234.5, 2000.0], "decimal commas"),
    (["1\u00a0234,5", "2\u202f000,0"], [1234.5, 2000.0], "grouped thousands"),
    (["12%", "7 %"], [0.12, 0.07], "percent"),
    (["5,5 %", "6 %"], [0.055, 0.06], "percent"),
    (["$3.50", "$1"], [3.5, 1.0], "currency"),
    (["1.234,50 €", "-99,95 €"], [1234.5, -99.95], "currency"),
    (["EUR 5.25", "USD 6.00"], ["EUR 5.25", "USD 6.00"], "several currencies"),
    (["-€5.25", "€6.00"], [-5.25, 6.0], "currency"),
    (["5%", "0.06"], ["5%", "0.06"], "only some cells are percent"),
    (["(1.50)", "3.00-"], [-1.5, -3.0], "parentheses"),
    (["\u22125", "\u20133.5"], [-5.0, -3.5], "a long one"),
    (["1e5", "1.5E-3"], [1e5, 0.0015], ""),
    (["1E5", "2E7"], [1e5, 2e7], "keeps codes"),
    (["8e-05", "0.125", "2.0"], [8e-05, 0.125, 2.0], ""),
    (["5.1e-3", "2.25", "1.50"], [0.0051, 2.25, 1.5], "keeps versions"),
    (["8e-05", "0.125", "NAN"], ["8e-05", "0.125", "NAN"], "not: 'NAN'"),
    (["-0", "5"], [-0.0, 5.0], ""),
    (["0x1F", "5"], ["0x1F", "5"], "not: '0x1F'"),
    (["-05.5", "1.25"], ["-05.5", "1.25"], "lose digits"),
    (["1.10", "1.9"], [1.1, 1.9], "keeps versions"),
    (["1.50", "2.00"], [1.5, 2.0], ""),
    (["Inf", "-inf", "NaN", "2"], [INF, -INF, None, 2.0], ""),
    (["1", "NA", "None", "#DIV/0!"], [1, None, None, None], ""),
    ([".5", "1."], [0.5, 1.0], ""),
    (["+3", "-2"], [3, -2], ""),
    (["+491701234567", "+4930123456"], ["+491701234567", "+4930123456"], "lose the plus"),
    (["007", "1.5"], ["007", "1.5"], "lose digits"),
    (["9007199254740993", "1.5"], ["9007199254740993", "1.5"], "lose digits"),
    (["9007199254740993", "7"], [9007199254740993, 7], ""),
    (["9223372036854775808", "5"], ["9223372036854775808", "5"], "lose digits"),
    (["0.12345678901234567", "1"], [0.12345678901234567, 1.0], ""),
    (["1.234,5", "1,234.5"], ["1.234,5", "1,234.5"], "1 of 2 cells are numbers; not: '1.234,5'"),
    (["192.168.100.200", "10.0.0.1"], ["192.168.100.200", "10.0.0.1"], ""),
    (["0x1F", "1_000"], ["0x1F", "1_000"], ""),
    (["TRUE", "false", ""], [True, False, None], ""),
    (["yes", "no"], ["yes", "no"], ""),
]


@pytest.mark.parametrize(("cells", "values", "said"), NUMBERS)
def test_numbers_are_read_as_they_are_written(load: Load, cells: list[str], values: list[object], said: str) -> None:
    stored = load("id;v\n" + "".join(f"{place};{cell}\n" for place, cell in enumerate(cells)))
    found = stored.table()["v"].to_pylist()
    assert found == values
    assert [type(value) for value in found] == [type(value) for value in values]
    assert said in " ".join(stored.info.notes)
    assert said or len(stored.info.notes) == 1


TIMES: list[tuple[list[str], list[object], str]] = [
    (["2024-1-2", "2024-11-12"], [datetime(2024, 1, 2), datetime(2024, 11, 12)], ""),
    (["2024/01/02", "2024/12/31"], [datetime(2024, 1, 2), datetime(2024, 12, 31)], ""),
    (["2024-01-02 10:00", "2024-01-03"], [datetime(2024, 1, 2, 10), datetime(2024, 1, 3)], ""),
    (["13/01/2024", "02/01/2024"], [datetime(2024, 1, 13), datetime(2024, 1, 2)], "day first"),
    (["01/13/2024", "01/02/2024"], [datetime(2024, 1, 13), datetime(2024, 1, 2)], "month first"),
    (["01.02.2024", "03.02.2024"], [datetime(2024, 2, 1), datetime(2024, 2, 3)], "day first"),
    (["01.02.24", "03.02.24"], [datetime(2024, 2, 1), datetime(2024, 2, 3)], "two-digit years"),
    (["5-Jan-2024", "12 March 2024"], [datetime(2024, 1, 5), datetime(2024, 3, 12)], ""),
    (["January 5 2024", "Mar 12th 2024"], [datetime(2024, 1, 5), datetime(2024, 3, 12)], ""),
    (["01/13/2024 3:05 PM", "01/14/2024 12:05 AM"], [datetime(2024, 1, 13, 15, 5), datetime(2024, 1, 14, 0, 5)], ""),
    (
        ["2024-03-31T01:30:00+01:00", "2024-03-31T01:30:00Z"],
        [datetime(2024, 3, 31, 0, 30, tzinfo=UTC), datetime(2024, 3, 31, 1, 30, tzinfo=UTC)],
        "as UTC",
    ),
    (["2024-01-01 00:00:00.123456789"], [datetime(2024, 1, 1, 0, 0, 0, 123456)], "cut to microseconds"),
    (["0001-01-01", "9999-12-31"], [datetime(1, 1, 1), datetime(9999, 12, 31)], ""),
    (["2024-03-31T01:30:00", "2024-03-31T03:30:00+02:00"], [], "only some times have an offset"),
    (["2024-01-02", "13/01/2024"], [], "written in several ways"),
    (["25:10:00", "1:00:00"], [], ""),
]


@pytest.mark.parametrize(("cells", "values", "said"), TIMES)
def test_times_are_read_as_they_are_written(load: Load, cells: list[str], values: list[object], said: str) -> None:
    stored = load("id,t\n" + "".join(f"{place},{cell}\n" for place, cell in enumerate(cells)))
    assert stored.table()["t"].to_pylist() == (values or cells)
    assert said in " ".join(stored.info.notes)


def test_dates_that_may_begin_with_day_or_month_are_asked_about(load: Load) -> None:
    content = "id,d\n1,11/03/2026\n2,04/08/2026\n"
    with pytest.raises(ToolFailure, match=r"d can be read in two ways: 11/03/2026.*'day_first': true"):
        load(content)
    assert load(content, day_first=True).table()["d"].to_pylist() == [datetime(2026, 3, 11), datetime(2026, 8, 4)]
    assert load(content, day_first=False).table()["d"].to_pylist() == [datetime(2026, 11, 3), datetime(2026, 4, 8)]
    assert load(content, types={"d": "text"}).table()["d"].to_pylist() == ["11/03/2026", "04/08/2026"]


def test_another_column_may_tell_which_comes_first(load: Load) -> None:
    stored = load("a,b\n01/02/2024,13/02/2024\n")
    assert stored.table().to_pydict() == {"a": [datetime(2024, 2, 1)], "b": [datetime(2024, 2, 13)]}


def test_a_comma_that_may_group_or_divide_is_asked_about(load: Load) -> None:
    with pytest.raises(ToolFailure, match=r"v can be read in two ways: 1,234.*'decimal': '\.'"):
        load("id;v\n1;1,234\n2;2,500\n")
    assert load("id;v\n1;1,234\n", decimal=".").table()["v"].to_pylist() == [1234]
    assert load("id;v\n1;1,234\n", decimal=",").table()["v"].to_pylist() == [1.234]
    assert load('id,v\n1,"1,234"\n').table()["v"].to_pylist() == [1234]
    with pytest.raises(ToolFailure, match=r"v can be read in two ways: 1\.234"):
        load("id;v\n1;1.234\n2;2.500\n")
    assert load("id;v;w\n1;1.234;0.5\n").table()["v"].to_pylist() == [1.234]
    assert load("id,v\n1,1.234\n").table()["v"].to_pylist() == [1.234]
    assert load("v;w\n1,234;0,5\n").table().to_pydict() == {"v": [1.234], "w": [0.5]}


def test_a_column_that_is_nearly_numbers_is_named_with_its_bad_cells(load: Load, work: Work) -> None:
    content = "id,v\n" + "".join(f"{row},{'unknown' if row in (17, 30) else row / 2}\n" for row in range(1, 3001))
    stored = load(content)
    said = "v: 2,998 of 3,000 cells are numbers; not: 'unknown' (2 cells, first in row 17)"
    assert said in stored.info.notes
    assert said in describe_dataset(work, stored.handle, [], 20, "").notes
    with pytest.raises(ToolFailure, match=r"2,998 of 3,000.*null_values=\['unknown'\]"):
        load(content, types={"v": "number"})
    for options in ({"null_values": ["unknown"]}, {"types": {"v": "number"}, "bad_cells": "null"}):
        column = load(content, **options).table()["v"]
        assert (column.type, column.null_count) == (pa.float64(), 2)


def test_of_an_empty_list_of_null_values_nothing_is_missing(load: Load) -> None:
    content = "country,n,v\nNA,1,\nDE,2,5\nnull,3,6\n"
    assert load(content).table()["country"].to_pylist() == [None, "DE", None]
    kept = load(content, null_values=[]).table().to_pydict()
    assert kept == {"country": ["NA", "DE", "null"], "n": [1, 2, 3], "v": ["", "5", "6"]}
    typed = load(content, null_values=[], types={"v": "number", "country": "text"}, bad_cells="null").table()
    assert typed.to_pydict() == {"country": ["NA", "DE", "null"], "n": [1, 2, 3], "v": [None, 5, 6]}
    with pytest.raises(ToolFailure, match="2 of 3 cells are numbers; not: ''"):
        load(content, null_values=[], types={"v": "number"})
    assert load(content, null_values=["DE"]).table()["country"].null_count == 3


def test_a_date_that_does_not_exist_is_a_bad_cell(load: Load) -> None:
    assert (
        "d: 2 of 3 cells are times; not: '2024-02-30' (row 1)"
        in load("d\n2024-02-30\n2024-01-01\n2024-01-02\n").info.notes
    )


@pytest.mark.parametrize(
    ("cells", "kind", "values"),
    [
        (["NA", "DE"], "text", ["NA", "DE"]),
        (["1E5", "2E7"], "text", ["1E5", "2E7"]),
        (["007", "12"], "number", [7, 12]),
        (["yes", "No"], "boolean", [True, False]),
        (["1", "0"], "boolean", [True, False]),
        (["1700000000000"], "time", [datetime(2023, 11, 14, 22, 13, 20)]),
        (["1700000000"], "time", [datetime(2023, 11, 14, 22, 13, 20)]),
        (["1700000000.5"], "time", [datetime(2023, 11, 14, 22, 13, 20, 500000)]),
        (["20240102"], "time", [datetime(2024, 1, 2)]),
        (["2024-01-02", "Jan 3 2024"], "time", [datetime(2024, 1, 2), datetime(2024, 1, 3)]),
        (["2024-01-02 01:00", "2024-01-02T01:00Z"], "time", [datetime(2024, 1, 2, 1, tzinfo=UTC)] * 2),
    ],
)
def test_a_type_that_is_asked_for_is_given(load: Load, cells: list[str], kind: str, values: list[object]) -> None:
    assert load("v\n" + "\n".join(cells) + "\n", types={"v": kind}).table()["v"].to_pylist() == values


def test_a_type_for_an_unknown_column_is_refused(load: Load) -> None:
    with pytest.raises(ToolFailure, match="unknown column in `types` 'w'"):
        load("v\n1\n", types={"w": "text"})


def test_whole_numbers_that_look_like_times_are_named(load: Load) -> None:
    notes = load("created_at,price\n1700000000000,1700000000000\n").info.notes
    assert notes[-1] == "whole numbers that look like times; types 'time' reads them so: created_at (ms)"


def test_columns_that_are_nearly_numbers_in_great_number_keep_the_notes_short(load: Load) -> None:
    names = [f"column_{place}" for place in range(200)]
    rows = [",".join(["1"] * 200), ",".join(["2"] * 200), ",".join(["?"] * 200)]
    notes = load("\n".join([",".join(names), *rows])).info.notes
    assert sum(map(len, notes)) < 2000
    assert any("nearly numbers or times as well" in note for note in notes)


def test_times_of_a_format_are_read_by_it_from_text_and_from_numbers(load: Load) -> None:
    rows = "a,b\n31JAN2024,20240131\n,20240201\n"
    stored = load(rows, types={"a": "time"}, time_format="%d%b%Y")
    assert stored.table()["a"].to_pylist() == [datetime(2024, 1, 31), None]
    assert "times read as %d%b%Y: a" in stored.info.notes
    numbers = load(rows, types={"b": "time"}, time_format="%Y%m%d")
    assert numbers.table()["b"].to_pylist() == [datetime(2024, 1, 31), datetime(2024, 2, 1)]
    zoned = load("t\n2024-01-31 10:00 +0200\n", types={"t": "time"}, time_format="%Y-%m-%d %H:%M %z")
    assert zoned.table()["t"].to_pylist() == [datetime(2024, 1, 31, 8, tzinfo=UTC)]
    with pytest.raises(ToolFailure, match="0 of 1 cells are times of that format"):
        load(rows, types={"a": "time"}, time_format="%Y")
    with pytest.raises(ToolFailure, match="names no part of a time"):
        load(rows, types={"a": "time"}, time_format="iso")


def test_a_format_reads_numbers_of_typed_files_too(work: Work, tmp_path: Path) -> None:
    pq.write_table(pa.table({"d": [20240131]}), tmp_path / "d.parquet")
    options = ReadOptions(types={"d": "time"}, time_format="%Y%m%d")
    assert load_file(work, str(tmp_path / "d.parquet"), "", options).table()["d"].to_pylist() == [datetime(2024, 1, 31)]


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(
    st.lists(
        st.one_of(
            st.from_regex(r"-?[1-9]\d{0,3}(\.\d{0,4})?|-?0\.\d{0,3}", fullmatch=True), st.sampled_from(["", "1.5e3"])
        ),
        min_size=1,
        max_size=8,
    )
)
def test_numbers_in_their_plain_form_are_read_as_they_are_when_each_is_looked_at(texts: list[str]) -> None:
    column = pa.chunked_array([pa.array(texts, pa.string())])
    read = read_column(column, Convention(), MISSING)
    if not pa.types.is_floating(read.values.type):
        return
    asked = as_kind("x", column, "number", Convention(), ReadOptions())
    assert read.values.combine_chunks().equals(asked.values.combine_chunks())
    assert read.said == asked.said
    if any("." in text and text.endswith("0") for text in texts):
        assert read.decimal == asked.decimal
