"""What is too deep, too wide or too long to be a table is refused before a reader meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlops_mcp.tools.data import extents
from mlops_mcp.tools.data.models import ReadOptions
from mlops_mcp.tools.data.readers import read_table
from mlops_mcp.tools.errors import ToolFailure


def read(path: Path) -> pa.Table:
    return read_table(path, ReadOptions(), 100)[0]


@pytest.mark.parametrize("opening", ["[", '{"a":'])
@pytest.mark.parametrize("name", ["deep.jsonl", "deep.json"])
@pytest.mark.parametrize("levels", [65, 200_000])
def test_deep_json_is_refused(tmp_path: Path, name: str, opening: str, levels: int) -> None:
    closing = "]" if opening == "[" else "}"
    (tmp_path / name).write_text('{"x": 1}\n{"x": ' + opening * levels + "1" + closing * levels + "}\n")
    with pytest.raises(ToolFailure, match="nested deeper than 64"):
        read(tmp_path / name)


def test_brackets_in_text_are_no_levels(tmp_path: Path) -> None:
    texts = ["[" * 500, '"[' * 90, "\\[" * 90, '\\"{' * 90, "]" * 70]
    lines = [json.dumps({"x": text, "y": [[1]]}) for text in texts]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    assert read(tmp_path / "rows.jsonl").column("x").to_pylist() == texts


def test_depth_is_counted_across_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extents, "CHUNK", 7)
    extents.require_shallow("x", b'[["[[["]]' * 64)
    extents.require_shallow("x", b"[" * 64 + b"]" * 64)
    with pytest.raises(ToolFailure, match="nested deeper"):
        extents.require_shallow("x", b"[" * 65 + b"]" * 65)


def test_too_many_columns_are_refused_in_every_format(tmp_path: Path) -> None:
    names = [f"c{place}" for place in range(extents.MAX_COLUMNS + 1)]
    (tmp_path / "wide.csv").write_text(f"{','.join(names)}\n{','.join('1' * len(names))}\n")
    (tmp_path / "wide.json").write_text(json.dumps([dict.fromkeys(names, 1)]))
    (tmp_path / "rows.json").write_text(json.dumps([{name: 1} for name in names]))
    (tmp_path / "lines.jsonl").write_text(json.dumps(dict.fromkeys(names, 1)) + "\n")
    pq.write_table(pa.table({name: [1] for name in names}), tmp_path / "wide.parquet")
    for path in sorted(tmp_path.iterdir()):
        with pytest.raises(ToolFailure, match="10001 columns, more than 10000"):
            read(path)


def test_a_text_that_is_no_cell_is_refused(tmp_path: Path) -> None:
    long = "x" * ((extents.MAX_CELL_MB << 20) + 1)
    (tmp_path / "long.csv").write_text(f"a,b\n1,{long}\n")
    (tmp_path / "long.jsonl").write_text(json.dumps({"b": long}))
    for path in sorted(tmp_path.iterdir()):
        with pytest.raises(ToolFailure, match="a cell of b holds more than 16 MB"):
            read(path)


def test_many_names_that_stand_twice_are_named_at_once(tmp_path: Path) -> None:
    pairs = ", ".join(f'"n{place}": 1, "n{place}": 2' for place in range(30_000))
    (tmp_path / "twice.json").write_text(f"[{{{pairs}}}]")
    with pytest.raises(ToolFailure, match=r"holds n0, n1, .* twice"):
        read(tmp_path / "twice.json")
