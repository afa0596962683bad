"""Splits: rows are moved, never changed, and what could not be done is said."""

from __future__ import annotations

import tracemalloc
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlops_mcp.tools.data import client
from mlops_mcp.tools.data import split as cutting
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


def visits(seed: int = 0) -> dict[str, object]:
    """Five rows of each of 60 customers, whose city is theirs."""
    random = np.random.default_rng(seed)
    customer = np.repeat(np.arange(60), 5)
    return {
        "customer": customer,
        "city": random.choice(list("abcdefgh"), 60)[customer],
        "amount": random.normal(size=300),
        "y": random.integers(0, 2, 300),
    }


@pytest.mark.parametrize(
    "arguments", [("group", "customer", ""), ("group", "", "customer"), ("stratified", "y", "customer")]
)
def test_a_group_lies_in_one_part(work: Work, tmp_path: Path, arguments: tuple[Strategy, str, str]) -> None:
    pq.write_table(pa.table(visits()), tmp_path / "rows.parquet")
    strategy, column, group = arguments
    made = client.split_dataset(work, str(tmp_path / "rows.parquet"), strategy, column, 0.2, 0.2, 0, group)
    owned = [set(resolve(work, part).frame()["customer"]) for part in parts(made)]
    assert sum(map(len, owned)) == len(set.union(*owned)) == 60
    assert made.undo == f"delete(handle={parts(made)!r}, dry_run=false)"


def test_a_split_by_group_needs_the_group(work: Work, tmp_path: Path) -> None:
    with pytest.raises(ToolFailure, match="needs the column whose rows stay together"):
        split(work, tmp_path, visits(), "group", "")


@pytest.mark.parametrize(("strategy", "column"), [("group", ""), ("stratified", "y"), ("random", "")])
def test_fewer_groups_than_parts_are_named_as_the_obstacle(
    work: Work, tmp_path: Path, strategy: Strategy, column: str
) -> None:
    pq.write_table(pa.table({"y": [0, 1] * 20, "one": ["a"] * 40, "two": ["a", "b"] * 20}), tmp_path / "rows.parquet")
    for group, said in {"one": r"1 group, .*independent\.", "two": r"2 groups, .*, or validation_share=0\."}.items():
        with pytest.raises(ToolFailure, match=f"{group} has {said}"):
            client.split_dataset(work, str(tmp_path / "rows.parquet"), strategy, column, 0.2, 0.2, 0, group)


def test_classes_of_too_few_groups_are_counted_in_groups(work: Work, tmp_path: Path) -> None:
    table = pa.table({"y": [number // 20 for number in range(40)], "g": [number // 10 for number in range(40)]})
    pq.write_table(table, tmp_path / "rows.parquet")
    with pytest.raises(ToolFailure, match=r"2 classes of at most 2 groups .*strategy='group'"):
        client.split_dataset(work, str(tmp_path / "rows.parquet"), "stratified", "y", 0.2, 0.2, 0, "g")


def test_a_group_that_straddles_the_parts_is_said_with_numbers(work: Work, tmp_path: Path) -> None:
    made = split(work, tmp_path, visits(), "random", "")
    frames = [resolve(work, part).frame() for part in parts(made)]
    owners = pd.concat([frame.assign(part=place) for place, frame in enumerate(frames)]).groupby("customer").part
    said = f"{int((owners.nunique() > 1).sum())} of 60 lie in several parts"
    assert [said in note for note in made.notes] == [True]


def test_rows_that_parts_share_are_counted_with_those_of_another_target(work: Work, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    x = np.tile(random.normal(size=100), 2)
    columns = {"id": np.arange(200), "t": np.arange(200), "x": x, "z": x * 2, "y": [0] * 100 + [0] * 50 + [1] * 50}
    pq.write_table(pa.table(columns), tmp_path / "rows.parquet")
    made = client.split_dataset(work, str(tmp_path / "rows.parquet"), "time", "t", 0, 0.25, 0, "", "y")
    shared = made.shared["test in train"]
    assert (shared.rows, shared.alike, shared.conflicting) == (0, 50, 50)
    assert "50 of 50 rows of test (100%) are in train as well, 50 of them with another target" in made.notes


def test_times_that_tie_at_a_cut_stay_together_and_are_said(work: Work, tmp_path: Path) -> None:
    made = split(work, tmp_path, {"t": [1] * 50 + [2] * 30 + [3] * 20, "x": list(range(100))}, "time", "t", 0.3)
    assert [part.rows for part in (made.train, made.validation, made.test) if part] == [50, 30, 20]
    assert not any("share the t at a cut" in note for note in made.notes)
    made = split(work, tmp_path, {"t": [1] * 40 + [2] * 30 + [3] * 30, "x": list(range(100))}, "time", "t", 0.3)
    assert "60 rows share the t at a cut and stay in one part" in made.notes


def test_a_time_that_a_random_split_ignores_is_said(work: Work, tmp_path: Path) -> None:
    days = pa.array(np.arange("2024-01-01", "2024-07-19", dtype="datetime64[D]").astype("datetime64[us]"))
    made = split(work, tmp_path, {"day": days, "x": list(range(len(days)))}, "random", "")
    later = resolve(work, made.train.dataset).frame().day > resolve(work, made.test.dataset).frame().day.min()
    assert made.notes[0].startswith(f"{int(later.sum())} rows of train are later than the first of test by day")


@pytest.mark.parametrize("kinds", [20_000, 700])
def test_parts_are_the_same_however_many_rows_are_ranked_at_once(monkeypatch: pytest.MonkeyPatch, kinds: int) -> None:
    units, shares = np.arange(20_000, dtype=np.int32) % kinds, cutting.Shares(0.2, 0.15)
    at_once = shares.shuffled(units, np.random.default_rng(3))
    monkeypatch.setattr(cutting, "BLOCK", 999)
    assert (shares.shuffled(units, np.random.default_rng(3)) == at_once).all()


def test_to_cut_rows_takes_few_bytes_of_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cutting, "BLOCK", 1000)
    rows = 100_000
    tracemalloc.start()
    cutting.Shares(0.2, 0.15).shuffled(np.arange(rows, dtype=np.int32), np.random.default_rng(0))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30 * rows
