"""Profiles: every type, no false statement, bounded answers."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlops_mcp.tools.data import client
from mlops_mcp.tools.data.description import describe_dataset
from mlops_mcp.tools.data.models import ColumnProfile, DatasetProfile
from mlops_mcp.tools.data.store import resolve
from mlops_mcp.tools.runtime.work import Work

BIG = 2**53 + 1
TOKENS = 1500


def describe(work: Work, folder: Path, columns: Mapping[str, object]) -> DatasetProfile:
    pq.write_table(pa.table(dict(columns)), folder / "rows.parquet")
    return describe_dataset(work, str(folder / "rows.parquet"), [], 20, "")


def tokens(text: str) -> float:
    return len(text) / 4


def test_whole_numbers_that_doubles_round_are_answered_as_text(work: Work, tmp_path: Path) -> None:
    column = describe(work, tmp_path, {"x": pa.array([BIG, BIG + 2, None, BIG + 2, BIG])}).columns[0]
    again = ColumnProfile.model_validate_json(column.model_dump_json())
    assert [again.min, again.median, again.max] == [str(BIG), str(BIG + 1), str(BIG + 2)]


def test_a_sum_beyond_64_bits_does_not_wrap_the_mean(work: Work, tmp_path: Path) -> None:
    assert describe(work, tmp_path, {"x": [2**62] * 4}).columns[0].mean == float(2**62)


def test_a_median_between_two_whole_numbers_is_a_fraction(work: Work, tmp_path: Path) -> None:
    assert describe(work, tmp_path, {"x": [1, 2]}).columns[0].median == 1.5


def test_nested_columns_are_not_compared_and_named(work: Work, tmp_path: Path) -> None:
    profile = describe(work, tmp_path, {"n": [None, [1], [1]], "s": [{"a": 1}] * 3, "x": [1, 1, 1]})
    assert profile.duplicate_rows is None
    assert [column.unique for column in profile.columns] == [None, None, 1]
    assert profile.constant_columns == ["x"]
    assert [note.rpartition(": ")[2] for note in profile.notes if note.startswith("nested")] == ["n, s"]


def test_duplicates_are_counted_exactly_where_pandas_would_round(work: Work, tmp_path: Path) -> None:
    rows = {"id": pa.array([BIG - 1, BIG, None, None, BIG - 1]), "t": ["a", "a", None, None, "a"]}
    assert describe(work, tmp_path, rows).duplicate_rows == 2


def test_a_missing_number_is_not_the_same_as_zero(work: Work, tmp_path: Path) -> None:
    assert describe(work, tmp_path, {"x": pa.array([0, None, 1, 1])}).duplicate_rows == 1


def test_only_whole_numbers_text_and_times_can_be_identifiers(work: Work, tmp_path: Path) -> None:
    profile = describe(work, tmp_path, {"id": [1, 2], "name": ["a", "b"], "x": [0.5, 1.5], "b": [True, False]})
    assert profile.notes == ["unique per row, so an identifier or a time, not a feature: id, name"]


def test_one_row_makes_no_column_constant(work: Work, tmp_path: Path) -> None:
    assert describe(work, tmp_path, {"x": [1]}).constant_columns == []


def test_in_a_dataset_without_rows_nothing_is_constant(work: Work, tmp_path: Path) -> None:
    profile = describe(work, tmp_path, {"x": pa.array([], pa.int64()), "s": pa.array([], pa.string())})
    assert (profile.rows, profile.constant_columns, profile.notes, profile.duplicate_rows) == (0, [], [], 0)


@pytest.mark.parametrize(
    ("kind", "values", "lowest"),
    [
        (pa.timestamp("us"), [0, 10**6], "1970-01-01 00:00:00"),
        (pa.timestamp("us", "UTC"), [1, 10**6], "1970-01-01 00:00:00.000001Z"),
        (pa.timestamp("us"), [9 * 10**17], "30489-11-11 16:00:00"),
        (pa.time64("us"), [10**6, 2 * 10**6], "00:00:01"),
        (pa.time32("s"), [1, 2], "00:00:01"),
        (pa.duration("us"), [5, 7], 5),
        (pa.uint64(), [2**64 - 1], str(2**64 - 1)),
        (pa.int8(), [-3, 5], -3),
    ],
)
def test_each_kind_of_number_and_time_has_a_range(
    work: Work, tmp_path: Path, kind: pa.DataType, values: list[int], lowest: object
) -> None:
    whole = pa.int32() if kind == pa.time32("s") else kind if pa.types.is_integer(kind) else pa.int64()
    column = describe(work, tmp_path, {"x": pa.array([*values, None], whole).cast(kind)}).columns[0]
    assert (column.min, column.missing, column.unique) == (lowest, 1, len(values))


def test_columns_of_nothing_and_of_infinities_are_described(work: Work, tmp_path: Path) -> None:
    profile = describe(work, tmp_path, {"none": pa.nulls(2), "inf": [1.0, float("inf")], "nan": [float("nan")] * 2})
    assert [(column.missing, column.unique, column.max) for column in profile.columns] == [
        (2, 0, None),
        (0, 2, None),
        (2, 0, None),
    ]
    assert "holds infinite values, so that its null statistics are not finite: inf" in profile.notes


def test_long_text_in_many_columns_keeps_the_answer_short(work: Work, tmp_path: Path) -> None:
    text = [f"{letter} {'long text ' * 30}" for letter in "abcdefgh"]
    profile = describe(work, tmp_path, {f"a_rather_long_name_{n}": text for n in range(20)})
    assert tokens(profile.model_dump_json(exclude_none=True)) < TOKENS * 1.2
    assert {len(column.top or {}) for column in profile.columns} == {3}


def test_a_list_of_wide_datasets_stays_short(work: Work, tmp_path: Path) -> None:
    for number in range(10):
        table = pa.table({f"column_{name}": [number] for name in range(500)})
        pq.write_table(table, tmp_path / "wide.parquet")
        client.load_dataset(work, str(tmp_path / "wide.parquet"), f"wide_{number}")
    lines = client.list_datasets(work, 10, "")
    assert tokens(lines.model_dump_json()) < TOKENS
    assert (lines.items[0].column_count, len(lines.items[0].first_columns)) == (500, 10)


def test_loading_a_wide_file_names_some_columns_and_counts_the_others(work: Work, tmp_path: Path) -> None:
    pq.write_table(pa.table({f"c{name}": [1] for name in range(500)}), tmp_path / "wide.parquet")
    info = client.load_dataset(work, str(tmp_path / "wide.parquet"), "")
    assert len(info.columns) == 60
    assert info.notes == ["440 more columns; describe_dataset pages through all"]
    assert describe_dataset(work, info.dataset, ["c499"], 20, "").columns[0].unique == 1


@pytest.mark.parametrize(
    ("missing", "rows", "said"),
    [(5, 1003, "0.5%"), (1, 100_000, "<0.01%"), (1, 4, "25%"), (1002, 1003, "99.9%"), (3, 3, "100%")],
)
def test_a_share_is_zero_or_all_only_where_it_is(
    work: Work, tmp_path: Path, missing: int, rows: int, said: str
) -> None:
    values = pa.array([None] * missing + [0.5] * (rows - missing), pa.float64())
    assert f"missing: x {said}" in describe(work, tmp_path, {"x": values}).notes


def test_columns_of_parquet_may_share_a_name_and_whole_decimals_keep_their_digits(work: Work, tmp_path: Path) -> None:
    digits = pa.array([Decimal("12345678901234567890"), Decimal(1)], pa.decimal128(38, 0))
    table = pa.Table.from_arrays([pa.array([1, 2]), pa.array([3, 4]), digits], names=["a", "a", "d"])
    pq.write_table(table, tmp_path / "rows.parquet")
    info = client.load_dataset(work, str(tmp_path / "rows.parquet"), "")
    assert info.columns == ["a", "a_2", "d"]
    assert resolve(work, info.dataset).table().to_pydict() == {
        "a": [1, 2],
        "a_2": [3, 4],
        "d": ["12345678901234567890", "1"],
    }
