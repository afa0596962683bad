"""JSON and workbooks: no digit is lost, and what is no table is refused."""

from __future__ import annotations

import io
import json
import zipfile
from datetime import UTC, datetime

import pandas as pd
import pyarrow as pa
import pytest

from mlops_mcp.tools.errors import ToolFailure

from .conftest import Load

FRAME = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})


@pytest.mark.parametrize("shape", ["records", "columns", "split", "values", "lines"])
def test_every_shape_in_which_pandas_writes_json_is_read(load: Load, shape: str) -> None:
    text = FRAME.to_json(orient="records", lines=True) if shape == "lines" else FRAME.to_json(orient=shape)  # type: ignore[call-overload]
    table = load(text, "r.json").table()
    assert list(table.to_pydict().values()) == [[1, 2], ["x", "y"]]
    assert table.column_names == (["column_1", "column_2"] if shape == "values" else ["a", "b"])


@pytest.mark.parametrize(
    ("lines", "values"),
    [
        ([12345678901234567891, 12345678901234567892], ["12345678901234567891", "12345678901234567892"]),
        ([9007199254740993, 1.5], ["9007199254740993", "1.5"]),
        ([9007199254740993, 7], [9007199254740993, 7]),
        ([1, 1.5, None], [1.0, 1.5, None]),
        (["01234", "7"], ["01234", "7"]),
        ([1, "x", True], ["1", "x", "True"]),
        ([1, "NA"], [1, None]),
    ],
)
def test_no_digit_of_a_document_is_lost(load: Load, lines: list[object], values: list[object]) -> None:
    stored = load("".join(json.dumps({"v": value}) + "\n" for value in lines), "r.jsonl")
    assert stored.table()["v"].to_pylist() == values


def test_nested_objects_become_columns_by_their_path(load: Load) -> None:
    lines = [{"id": 1, "u": {"n": "x", "g": {"z": 1}}, "l": [1]}, {"id": 2, "u": {"n": "y", "g": {"z": 2}}, "l": []}]
    by_lines = load("\n".join(map(json.dumps, lines)), "r.jsonl").table()
    as_array = load(json.dumps(lines), "r.json").table()
    assert by_lines.to_pydict() == as_array.to_pydict()
    expected = pd.json_normalize(lines)
    assert set(by_lines.column_names) == set(expected.columns)
    assert by_lines["u.g.z"].to_pylist() == expected["u.g.z"].tolist()


def test_empty_objects_are_missing(load: Load) -> None:
    for text in ('{"a":1,"b":{}}\n{"a":2,"b":{}}\n', '[{"a":1,"b":{}},{"a":2,"b":{}}]'):
        assert load(text, "r.json").table().to_pydict() == {"a": [1, 2], "b": [None, None]}


def test_times_with_offsets_keep_their_instant(load: Load) -> None:
    lines = '{"t":"2024-01-02T10:00:00+02:00","m":"2024-01-02"}\n{"t":"2024-01-02T10:00:00Z","m":"x"}\n'
    table = load(lines, "r.jsonl").table()
    assert table["t"].to_pylist() == [datetime(2024, 1, 2, 8, tzinfo=UTC), datetime(2024, 1, 2, 10, tzinfo=UTC)]
    assert table["m"].to_pylist() == ["2024-01-02", "x"]


def test_a_key_that_comes_late_is_missing_before(load: Load) -> None:
    lines = '{"a":1}\n' * 50_000 + '{"a":1,"late":2}\n'
    column = load(lines, "r.jsonl").table()["late"]
    assert (column.null_count, column.to_pylist()[-1]) == (50_000, 2)


def test_rows_inside_an_object_are_found_and_what_is_beside_them_said(load: Load) -> None:
    stored = load('{"count": 2, "data": [{"a": 1}, {"a": 2}]}', "r.json")
    assert stored.table().to_pydict() == {"a": [1, 2]}
    assert "rows are those of 'data'; left out: count" in stored.info.notes


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('{"a":1}\n{"a":\n', "line 2"),
        ('[{"a":1},{"a"', "no JSON"),
        ("[1,2]", "holds no objects"),
        ("[]", "holds no rows"),
        ("5", "no JSON"),
        ('[{"a":1,"a":2}]', "twice"),
        ("[[1,2],[3]]", "different lengths"),
    ],
)
def test_json_that_is_no_table_is_refused(load: Load, content: str, says: str) -> None:
    with pytest.raises(ToolFailure, match=says):
        load(content, "r.json")


def test_text_that_is_all_numbers_stays_text_and_is_named(load: Load) -> None:
    stored = load('{"v":"1,5"}\n{"v":"2,5"}\n', "r.jsonl")
    assert stored.table()["v"].to_pylist() == ["1,5", "2,5"]
    assert stored.info.notes[-1] == "text that is all numbers; load_dataset with options types reads it so: v"
    assert load('{"v":"1,5"}\n', "r.jsonl", types={"v": "number"}).table()["v"].to_pylist() == [1.5]


def workbook(**sheets: list[list[object]]) -> bytes:
    """The smallest file that Excel opens: cells as numbers, or as text in place."""

    def cell(value: object) -> str:
        if value is None:
            return "<c/>"
        if isinstance(value, bool):
            return f'<c t="b"><v>{int(value)}</v></c>'
        if isinstance(value, int | float):
            return f"<c><v>{value}</v></c>"
        return f'<c t="inlineStr"><is><t>{value}</t></is></c>'

    names = "http://schemas.openxmlformats.org"
    office, package = f"{names}/officeDocument/2006/relationships", f"{names}/package/2006"
    kind = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"
    numbered = list(enumerate(sheets.items(), 1))

    def related(*targets: tuple[str, str, str]) -> str:
        made = (f'<Relationship Id="{n}" Type="{office}/{kind}" Target="{target}"/>' for n, kind, target in targets)
        return f'<Relationships xmlns="{package}/relationships">{"".join(made)}</Relationships>'

    listed = "".join(f'<sheet name="{name}" sheetId="{n}" r:id="r{n}"/>' for n, (name, _) in numbered)
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{package}/content-types"><Default Extension="xml" '
        f'ContentType="application/xml"/><Override PartName="/xl/workbook.xml" ContentType="{kind}"/></Types>',
        "_rels/.rels": related(("r0", "officeDocument", "xl/workbook.xml")),
        "xl/workbook.xml": f'<workbook xmlns="{names}/spreadsheetml/2006/main" xmlns:r="{office}">'
        f"<sheets>{listed}</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": related(*((f"r{n}", "worksheet", f"worksheets/{n}.xml") for n, _ in numbered)),
    }
    for n, (_, rows) in numbered:
        body = "".join(f'<row r="{place}">{"".join(map(cell, row))}</row>' for place, row in enumerate(rows, 1))
        parts[f"xl/worksheets/{n}.xml"] = (
            f'<worksheet xmlns="{names}/spreadsheetml/2006/main"><sheetData>{body}</sheetData></worksheet>'
        )
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, text in parts.items():
            archive.writestr(name, text)
    return file.getvalue()


def test_a_sheet_is_read_with_the_types_of_its_cells(load: Load) -> None:
    rows: list[list[object]] = [["id", "zip", "v", "ok"], [1, "007", 1.5, True], [2, "012", None, False]]
    stored = load(workbook(data=rows), "r.xlsx")
    assert stored.table().to_pydict() == {"id": [1, 2], "zip": ["007", "012"], "v": [1.5, None], "ok": [True, False]}
    assert stored.table().schema.field("id").type == pa.int64()
    assert stored.info.notes == ["sheet 'data'"]


def test_one_of_several_sheets_is_chosen_by_name(load: Load) -> None:
    content = workbook(first=[["x"], [1]], second=[["x"], [2]])
    with pytest.raises(ToolFailure, match=r"2 sheets with cells.*first, second"):
        load(content, "r.xlsx")
    assert load(content, "r.xlsx", sheet="second").table().to_pydict() == {"x": [2]}
    with pytest.raises(ToolFailure, match="unknown sheet"):
        load(content, "r.xlsx", sheet="third")


def test_a_mixed_column_of_a_sheet_is_named_with_its_bad_cells(load: Load) -> None:
    content = workbook(s=[["v"], [1], ["unknown"], [None], [3]])
    assert "v: 2 of 3 cells are numbers; not: 'unknown' (row 2)" in load(content, "r.xlsx").info.notes
    assert load(content, "r.xlsx", null_values=["unknown"]).table()["v"].to_pylist() == [1, None, 3]
    marked = load(workbook(s=[["v"], [1], ["NA"], [3]]), "r.xlsx")
    assert marked.table()["v"].to_pylist() == [1, None, 3]
    assert "cells like NA or null among numbers read as missing: v" in marked.info.notes


def test_a_title_above_the_header_is_asked_about(load: Load) -> None:
    content = workbook(s=[["Sales of May"], ["a", "b", "c"], [1, 2, 3]])
    with pytest.raises(ToolFailure, match=r"has 1 cell, others 3.*'skip_rows'"):
        load(content, "r.xlsx")
    assert load(content, "r.xlsx", skip_rows=1).table().to_pydict() == {"a": [1], "b": [2], "c": [3]}


def test_an_empty_sheet_is_refused(load: Load) -> None:
    with pytest.raises(ToolFailure, match="is empty"):
        load(workbook(s=[]), "r.xlsx")
