"""Splits: rows are moved, never changed, and what could not be done is said."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlops_mcp.tools.data import client
from mlops_mcp.tools.data.models import Split
from mlops_mcp.tools.data.split import Strategy
from mlops_mcp.tools.data.store import resolve
from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.runtime.work import Work

BIG = 2**53 + 1
DAYS = [f"{day}/{month}/2024" for month in range(1, 11) for day in (1, 15)]
ISO = [f"2024-{month:02}-{day:02}" for month in range(1, 11) for day in (1, 15)]


def split(
    work: Work, folder: Path, columns: Mapping[str, object], strategy: Strategy, column: str, validation: float = 0.2
) -> Split:
    path = folder / "rows.parquet"
    pq.write_table(pa.table(dict(columns)), path)
    return client.split_dataset(work, str(path), strategy, column, validation, 0.2, 0)


def parts(made: Split) -> list[str]:
    return [part.dataset for part in (made.train, made.validation, made.test) if part]


def test_whole_numbers_beyond_what_a_real_number_holds_survive_beside_missing_ones(work: Work, tmp_path: Path) -> None:
    made = split(work, tmp_path, {"id": pa.array([None, *range(BIG, BIG + 39)])}, "random", "")
    tables = [resolve(work, part).table() for part in parts(made)]
    assert {table.schema.field("id").type for table in tables} == {pa.int64()}
    assert {value for table in tables for value in table["id"].to_pylist()} == {None, *range(BIG, BIG + 39)}


def test_text_that_is_no_iso_time_is_not_sorted_by_its_letters(work: Work, tmp_path: Path) -> None:
    with pytest.raises(ToolFailure, match=r"'1/1/2024'.* Pass a column of times or numbers, make one by query_dataset"):
        split(work, tmp_path, {"day": DAYS}, "time", "day")


@pytest.mark.parametrize("suffix", ["", " 10:30", "T10:30:00+02:00", "T10:30:00.123456789Z"])
def test_iso_text_is_ordered_as_times(work: Work, tmp_path: Path, suffix: str) -> None:
    made = split(work, tmp_path, {"day": [f"{day}{suffix}" for day in reversed(ISO)]}, "time", "day")
    assert (made.train.first, made.test.last) == (f"{ISO[0]}{suffix}", f"{ISO[-1]}{suffix}")
    assert "day is text, ordered as ISO-8601 times" in made.notes


def test_iso_text_is_ordered_by_its_moment_not_by_its_hour(work: Work, tmp_path: Path) -> None:
    times = [f"2024-01-01T{hour:02}:00:00{zone}" for hour in range(12) for zone in ("+10:00", "-10:00")]
    made = split(work, tmp_path, {"t": times}, "time", "t")
    assert str(made.test.last).endswith("11:00:00-10:00")
    assert str(made.train.last).endswith("-10:00")


@pytest.mark.parametrize("values", [[True, False] * 10, [{"a": 1}] * 20, [pa.scalar(1, pa.time64("us"))] * 20])
def test_a_column_without_an_order_in_time_is_refused(work: Work, tmp_path: Path, values: list[object]) -> None:
    with pytest.raises(ToolFailure, match="no order in time"):
        split(work, tmp_path, {"t": pa.array(values)}, "time", "t")


@pytest.mark.parametrize("times", [[None, *range(19)], [float("nan"), *map(float, range(19))], [None, *ISO]])
def test_missing_times_are_refused(work: Work, tmp_path: Path, times: list[object]) -> None:
    with pytest.raises(ToolFailure, match="missing times"):
        split(work, tmp_path, {"t": pa.array(times, from_pandas=False)}, "time", "t")


def test_numbers_order_rows_exactly(work: Work, tmp_path: Path) -> None:
    made = split(work, tmp_path, {"t": list(range(BIG, BIG + 20))}, "time", "t")
    assert (made.train.last, made.test.first) == (str(BIG + 11), str(BIG + 16))


def test_classes_too_small_for_every_part_go_to_train_and_are_named(work: Work, tmp_path: Path) -> None:
    made = split(work, tmp_path, {"c": ["a"] * 50 + ["rare"] * 2 + [None]}, "stratified", "c")
    assert made.notes == ["too few rows for every part, so all in train: 'rare' (2), 'None' (1)"]
    values = [set(resolve(work, part).table()["c"].to_pylist()) for part in parts(made)]
    assert values == [{"a", "rare", None}, {"a"}, {"a"}]


def test_only_small_classes_are_no_stratified_split(work: Work, tmp_path: Path) -> None:
    with pytest.raises(ToolFailure, match="c has 100 classes of at most 2 rows, too few"):
        split(work, tmp_path, {"c": [f"c{row // 2}" for row in range(200)]}, "stratified", "c")


def test_two_rows_a_class_are_enough_for_two_parts(work: Work, tmp_path: Path) -> None:
    made = split(work, tmp_path, {"c": [f"c{row // 2}" for row in range(200)]}, "stratified", "c", validation=0)
    assert (made.train.rows, made.test.rows, made.validation) == (100, 100, None)


def test_a_nested_column_has_no_classes(work: Work, tmp_path: Path) -> None:
    with pytest.raises(ToolFailure, match="no classes"):
        split(work, tmp_path, {"c": [[1], [2]] * 10}, "stratified", "c")


def test_a_column_that_the_strategy_would_ignore_is_refused(work: Work, tmp_path: Path) -> None:
    with pytest.raises(ToolFailure, match="uses no column"):
        split(work, tmp_path, {"c": [1] * 20}, "random", "c")


def test_a_failed_split_leaves_no_part_behind(work: Work, tmp_path: Path) -> None:
    with pytest.raises(ToolFailure, match="no rows for"):
        split(work, tmp_path, {"c": [1, 2]}, "random", "")
    assert [line.dataset.partition("@")[0] for line in client.list_datasets(work, 9, "").items] == ["dataset:rows"]


def test_the_parts_of_a_long_name_still_say_which_they_are(work: Work, tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"c": list(range(20))}), path)
    whole = client.load_dataset(work, str(path), "n" * 63).dataset
    made = client.split_dataset(work, whole, "random", "", 0.2, 0.2, 0)
    assert [part.partition("@")[0].rpartition("_")[2] for part in parts(made)] == ["train", "validation", "test"]


def test_a_dataset_without_rows_is_not_split(work: Work, tmp_path: Path) -> None:
    with pytest.raises(ToolFailure, match="has no rows to split"):
        split(work, tmp_path, {"c": pa.array([], pa.string())}, "stratified", "c")
