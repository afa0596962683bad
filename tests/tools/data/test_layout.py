"""Headers, separators and quotes: found and said, or asked for; no row is lost."""

from __future__ import annotations

import io

import pandas as pd
import pytest

from mlops_mcp.tools.errors import ToolFailure

from .conftest import Load

FOUND: dict[str, tuple[str, dict[str, object], str]] = {
    "a line that names the separator": ("sep=;\r\na;b\r\n1;x\r\n", {"sep": ";", "skiprows": 1}, "sep="),
    "comments above the header": ("# by a tool\n# 2024\na,b\n1,x\n", {"comment": "#"}, "2 comment lines"),
    "a header that begins with the mark of comments": ("#id,b\n1,x\n", {}, ""),
    "an index without a name": (",a\n0,x\n1,y\n", {"names": ["index", "a"], "header": 0}, "without a name in the file"),
    "names of rows": ("a,b\nr1,1,2\nr2,3,4\n", {"names": ["index", "a", "b"], "header": 0}, "without a name"),
    "a trailing separator": ("a,b,\n1,2,\n3,4,\n", {"usecols": ["a", "b"]}, "without values left out: 1"),
    "a trailing separator below the header": ("a,b\n1,2,\n3,4,\n", {"index_col": False}, "left out: 1"),
    "names that occur twice": ("a,a,b\n1,2,3\n", {"names": ["a", "a_2", "b"], "header": 0}, "'a' → a_2"),
    "spaces around names": (" a ,a\n1,2\n", {"names": ["a", "a_2"], "header": 0}, "→ a_2"),
    "backticks in a name": ("`a`,b\n1,2\n", {"names": ["a", "b"], "header": 0}, "→ a"),
    "no header": ("1,2\n3,4\n", {"names": ["column_1", "column_2"], "header": None}, "the first line holds values"),
    "no header above text": ("5.1,a\n4.9,b\n", {"names": ["column_1", "column_2"]}, "the first line holds values"),
    "counted names": ("0,1\n1.5,2.5\n", {}, ""),
    "dates as names": ("c,2024-01-01\nDE,5\n", {}, ""),
    "columns aligned by spaces": ("name   age\nAnn     30\nBob      4\n", {"sep": r"\s+"}, "delimiter spaces"),
    "colons": ("a:b\n1:2\n", {"sep": ":"}, "delimiter ':'"),
    "one column of words": ("name\nAnn Lee\nBob Ray\n", {}, ""),
    "single quotes": ("a,b\n'1','x, y'\n", {"quotechar": "'"}, "quoted by '"),
    "backslashes before quotes": ('a,b\n1,"say \\"hi\\""\n2,z\n', {"escapechar": "\\"}, "read as escapes"),
    "spaces before quotes": ('a, b\n1, "x, y"\n', {"skipinitialspace": True}, "spaces before 1 quotes"),
    "spaces after each separator": ("a, b\n1, x\n2, y\n", {"skipinitialspace": True}, "spaces around text stripped"),
    "quotes in the middle of a cell": ('a;b\n1;5" long\n2;x\n', {"sep": ";"}, ""),
    "blank lines": ("a,b\n1,2\n\n3,4\n\n", {}, "1 blank lines skipped"),
    "returns only": ("a,b\r1,2\r3,4\r", {}, ""),
    "a cell of three megabytes": (f"a,b\n1,{'x' * 3_000_000}\n2,y\n", {}, ""),
}


@pytest.mark.parametrize("case", FOUND)
def test_a_layout_is_found_as_pandas_reads_it_when_told(load: Load, case: str) -> None:
    content, told, said = FOUND[case]
    expected = pd.read_csv(io.StringIO(content), **{"skip_blank_lines": True, **told})  # type: ignore[call-overload]
    stored = load(content)
    pd.testing.assert_frame_equal(stored.frame(), expected)
    assert said in " ".join(stored.info.notes)
    assert len(stored.info.notes) > 1 or not said or "delimiter" in said


def test_a_header_alone_is_a_dataset_without_rows(load: Load) -> None:
    stored = load("a,b\n")
    assert (stored.info.columns, stored.info.rows) == (["a", "b"], 0)


@pytest.mark.parametrize("content", ["country,2019,2020\nDE,1.5,2\n", "Alice,30\nBob,40\n", "2019,2020\n1,2\n"])
def test_a_first_line_that_may_be_names_or_values_is_asked_about(load: Load, content: str) -> None:
    with pytest.raises(ToolFailure, match=r"names or values.*'header': true"):
        load(content)
    assert load(content, header=True).info.columns == content.partition("\n")[0].split(",")
    assert load(content, header=False).info.rows == content.count("\n")


def test_two_separators_that_fit_equally_are_asked_about(load: Load) -> None:
    content = "a,b;c,d;e\n1,2;3,4;5\n"
    with pytest.raises(ToolFailure, match="separator may be ';' or ','"):
        load(content)
    assert load(content, separator=";").table().to_pydict() == {"a,b": [1.2], "c,d": [3.4], "e": [5]}


@pytest.mark.parametrize(
    ("content", "line"),
    [('a,b\n1,"x\n2,y\n3,z\n', 2), ('a,b\n1,x\n2,"y\n3,"z\n4,w\n', 3), ('"a","b"\n"1","x"y"\n', 2)],
)
def test_a_quote_that_swallows_rows_is_refused_with_its_line(load: Load, content: str, line: int) -> None:
    with pytest.raises(ToolFailure, match=rf"the quote in line {line} .*'quote': 'none'"):
        load(content)
    assert load(content, quote="none").info.rows == content.count("\n") - 1


def test_rows_of_another_length_are_refused_with_their_lines_dropped_or_padded(load: Load) -> None:
    content = "a,b\n1,2\n3,4,5\n6\n"
    with pytest.raises(ToolFailure, match=r"line 3 has 3, line 4 has 1.*'bad_rows'"):
        load(content)
    dropped, padded = load(content, bad_rows="drop"), load(content, bad_rows="pad")
    assert dropped.table().to_pydict() == {"a": [1], "b": [2]}
    assert "2 rows have another number of cells than the header: dropped" in dropped.info.notes
    assert padded.table().to_pydict() == {"a": [1, 3, 6], "b": [2, 4, None], "column_3": [None, 5, None]}


def test_one_column_of_decimal_commas_is_refused_with_the_options_that_read_it(load: Load) -> None:
    with pytest.raises(ToolFailure, match="'separator': ';', 'decimal': ','"):
        load("wert\n1,5\n3,75\n")
    assert load("wert\n1,5\n3,75\n", separator=";", decimal=",").table()["wert"].to_pylist() == [1.5, 3.75]


def test_lines_above_the_header_are_skipped_when_asked(load: Load) -> None:
    content = "Sales of May\nby region\n\na,b,c\n1,2,3\n"
    with pytest.raises(ToolFailure, match="skip_rows"):
        load(content)
    assert load(content, skip_rows=2).table().to_pydict() == {"a": [1], "b": [2], "c": [3]}


def test_a_title_above_the_header_is_asked_about(load: Load) -> None:
    content = "Sales of May,,\na,b,c\n1,2,3\n"
    with pytest.raises(ToolFailure, match=r"names 1 of 3 columns: Sales of May.*'skip_rows'"):
        load(content)
    assert load(content, skip_rows=1).table().to_pydict() == {"a": [1], "b": [2], "c": [3]}


def test_the_notes_are_those_of_this_reading(load: Load) -> None:
    first, again = load("a|b\n1|2\n"), load("a,b\n1,2\n")
    assert first.handle == again.handle
    assert again.info.notes == ["delimiter ',', types inferred from text"]
