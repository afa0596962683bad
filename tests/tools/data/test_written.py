"""What becomes of rows that are stored."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlops_mcp.tools.data import pieces, written
from mlops_mcp.tools.errors import ToolFailure

ROWS = pa.table(
    {
        "id": range(100),
        "code": [f"c{place}" for place in range(100)],
        "few": [place % 3 for place in range(100)],
        "word": ["a", "b"] * 50,
        "real": [1.0] * 100,
        "list": [[1, 2]] * 100,
        "none": pa.nulls(100, pa.string()),
    }
)


def _dictionaries(path: Path) -> dict[str, bool]:
    group = pq.read_metadata(path).row_group(0)
    columns = [group.column(place) for place in range(group.num_columns)]
    return {column.path_in_schema.split(".")[0]: column.has_dictionary_page for column in columns}


def test_the_digest_that_is_told_is_that_of_the_file(tmp_path: Path) -> None:
    told = written.write([ROWS, ROWS], tmp_path / "rows")
    assert told == hashlib.sha256((tmp_path / "rows").read_bytes()).hexdigest()
    assert stat.S_IMODE((tmp_path / "rows").stat().st_mode) == 0o600
    assert pq.read_table(tmp_path / "rows").equals(pa.concat_tables([ROWS, ROWS]))


def test_only_values_that_recur_have_a_dictionary(tmp_path: Path) -> None:
    written.write([ROWS], tmp_path / "rows")
    assert _dictionaries(tmp_path / "rows") == {
        "id": False,
        "code": False,
        "few": True,
        "word": True,
        "real": False,
        "list": False,
        "none": True,
    }


@pytest.mark.parametrize("cut", [1, 7, 64, 100])
def test_the_same_rows_make_the_same_file_however_they_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: int
) -> None:
    monkeypatch.setattr(pieces, "STEP", 10)
    monkeypatch.setattr(pieces, "GROUP", 40)
    parts = [ROWS.slice(start, cut) for start in range(0, 100, cut)]
    whole = written.write(pieces.grouped([ROWS]), tmp_path / "whole")
    assert written.write(pieces.grouped(parts), tmp_path / "parts") == whole
    assert pq.read_metadata(tmp_path / "whole").num_row_groups == 3


def test_no_rows_are_stored_as_none(tmp_path: Path) -> None:
    written.write(pieces.grouped([ROWS.slice(0, 0)]), tmp_path / "rows")
    assert pq.read_table(tmp_path / "rows").equals(ROWS.slice(0, 0))


def test_what_parquet_cannot_hold_is_told(tmp_path: Path) -> None:
    odd = pa.table({"odd": pa.array([(1, 2, 3)], pa.month_day_nano_interval())})
    with pytest.raises(ToolFailure, match="cannot be stored"):
        written.write([odd], tmp_path / "rows")
