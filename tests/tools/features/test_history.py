"""Point-in-time joins: every row equals a plain pandas as-of join, whatever the history looks like."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from mlops_mcp.tools.data.store import resolve
from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.features import client
from mlops_mcp.tools.features.models import FeatureJoin, View
from mlops_mcp.tools.lineage import Lineage
from mlops_mcp.tools.runtime.work import Work

pytestmark = pytest.mark.filterwarnings("ignore")
Store = Callable[..., str]
Register = Callable[..., View]
NOON = pd.Timestamp("2024-06-01T12:00:00", tz="UTC")


def joined(work: Work, dataset: str, *features: str, full: bool = False) -> tuple[FeatureJoin, pd.DataFrame]:
    result = client.get_historical_features(work, dataset, list(features), "", full, "")
    return result, resolve(work, result.dataset).frame()


def by_pandas(rows: pd.DataFrame, history: pd.DataFrame, key: str, time: str, ttl: timedelta | None) -> pd.DataFrame:
    """The same join with pandas alone; `history` has one row per key and time."""
    left = rows.reset_index(names="row")[["row", key, "event_timestamp"]].dropna().sort_values("event_timestamp")
    right = history.rename(columns={time: "found"}).sort_values("found")
    match = pd.merge_asof(left, right, left_on="event_timestamp", right_on="found", by=key, tolerance=ttl)
    return match.set_index("row").reindex(rows.index)


def assert_same(got: pd.DataFrame, expected: pd.DataFrame, columns: list[str]) -> None:
    for column in columns:
        pd.testing.assert_series_equal(
            got[column], expected[column], check_dtype=False, check_names=False, check_index=False, check_exact=True
        )


def test_real_loans_get_the_same_zip_code_columns_as_from_pandas(work: Work) -> None:
    zipcodes, loans = (f"{work.settings.roots[0]}/credit_risk/{name}_table.parquet" for name in ("zipcode", "loan"))
    client.register_features(work, zipcodes, "zip", "zipcode", "event_timestamp", [], "created_timestamp", None, "")
    result, got = joined(work, loans, "zip")
    rows, history = resolve(work, loans).frame(), resolve(work, zipcodes).frame()
    expected = by_pandas(rows, history.drop(columns="created_timestamp"), "zipcode", "event_timestamp", None)
    assert (result.rows, result.views[0].matched) == (28638, 28638)
    assert_same(got, expected, result.added)
    pd.testing.assert_frame_equal(got[list(rows.columns)], rows)


@pytest.mark.parametrize("ttl_days", [None, 3.0])
@pytest.mark.parametrize("text_keys", [False, True])
def test_every_row_of_a_hard_history_equals_pandas(
    work: Work, store: Store, register: Register, ttl_days: float | None, text_keys: bool
) -> None:
    rows, history = hard_history(text_keys)
    register(history, created="made", ttl_days=ttl_days)
    result, got = joined(work, store(rows, "rows"), "things")
    newest = history.sort_values("made", kind="stable").drop_duplicates(["key", "at"], keep="last")
    expected = by_pandas(rows, newest.dropna(subset="key"), "key", "at", timedelta(days=ttl_days) if ttl_days else None)
    assert_same(got, expected, ["number", "whole", "text", "flag"])
    counts = result.views[0]
    assert counts.matched == int(expected["found"].notna().sum())
    others = counts.key_or_time_missing + counts.key_unknown + counts.before_first_value + counts.older_than_ttl
    assert counts.matched + others == len(rows) == len(got)
    assert all(
        count > 0
        for count in (counts.matched, counts.key_or_time_missing, counts.key_unknown, counts.before_first_value)
    )
    assert (counts.older_than_ttl > 0) is (ttl_days is not None)


def hard_history(text_keys: bool) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Ties, repeats, gaps, missing keys and times, and rows before, between and after the values."""
    random = np.random.default_rng(3)

    def keys(count: int, top: int) -> pd.Series:
        drawn = pd.Series(random.integers(0, top, count), dtype="Int64")
        shown = drawn.map(lambda key: f"k{key}").astype(object) if text_keys else drawn
        return shown.mask(pd.Series(random.random(count) < 0.02), None if text_keys else pd.NA)

    def times(count: int) -> pd.Series:
        # Whole hours, so that many values and rows meet at the same moment.
        return pd.Series(pd.Timestamp("2024-01-01", tz="UTC") + pd.to_timedelta(random.integers(0, 2400, count), "h"))

    count = 4000
    history = pd.DataFrame({"key": keys(count, 60), "at": times(count)})
    history["made"] = history["at"] + pd.to_timedelta(np.arange(count), "s")
    history["number"] = np.where(random.random(count) < 0.1, np.nan, random.normal(size=count))
    history["whole"] = pd.Series(random.integers(0, 9, count), dtype="Int64").mask(random.random(count) < 0.1)
    history["text"] = pd.Series(random.choice(["a", "b", "c"], count)).mask(random.random(count) < 0.1)
    history["flag"] = random.random(count) < 0.5
    tied = history.sample(400, random_state=1).assign(number=lambda frame: frame.number + 1)
    tied["made"] += pd.to_timedelta(1, "h")
    history = pd.concat([history, tied], ignore_index=True)
    rows = pd.DataFrame({"key": keys(1500, 70), "event_timestamp": times(1500)})
    rows.loc[::7, "event_timestamp"] -= pd.Timedelta(days=40)
    rows.loc[::50, "event_timestamp"] = pd.NaT
    rows = pd.concat([rows, rows.head(300)], ignore_index=True)
    return rows, history


@pytest.mark.parametrize(
    ("distance", "found"),
    [
        (timedelta(0), True),
        (timedelta(days=10), True),
        (timedelta(days=10, microseconds=1), False),
        (timedelta(microseconds=-1), False),
    ],
)
def test_the_limits_of_time_are_inclusive(
    work: Work, store: Store, register: Register, distance: timedelta, found: bool
) -> None:
    register(pd.DataFrame({"key": [1], "at": [NOON], "value": [5.0]}), ttl_days=10)
    _, got = joined(work, store(pd.DataFrame({"key": [1], "event_timestamp": [NOON + distance]}), "rows"), "things")
    assert got["value"].tolist() == [5.0] if found else got["value"].isna().all()


def test_a_missing_newest_value_is_not_replaced_by_an_older_one(work: Work, store: Store, register: Register) -> None:
    register(pd.DataFrame({"key": [1, 1], "at": [NOON, NOON + timedelta(days=1)], "value": [5.0, None]}))
    _, got = joined(
        work, store(pd.DataFrame({"key": [1], "event_timestamp": [NOON + timedelta(days=2)]}), "rows"), "things"
    )
    assert got["value"].isna().all()


def test_whole_numbers_beyond_floats_survive_the_join(work: Work, store: Store, register: Register) -> None:
    register(pd.DataFrame({"key": [1, 2], "at": [NOON] * 2, "value": pd.array([2**60 + 1, None], dtype="Int64")}))
    _, _ = joined(
        work, dataset := store(pd.DataFrame({"key": [1, 2, 3], "event_timestamp": [NOON] * 3}), "rows"), "things"
    )
    result, _ = joined(work, dataset, "things:value")
    assert resolve(work, result.dataset).table(["value"]).column(0).to_pylist() == [2**60 + 1, None, None]


def test_a_column_of_the_rows_is_never_taken_for_a_feature(work: Work, store: Store, register: Register) -> None:
    register(pd.DataFrame({"key": [1], "at": [NOON], "value": [5.0]}))
    rows = store(pd.DataFrame({"key": [1], "event_timestamp": [NOON], "value": [7.0]}), "rows")
    with pytest.raises(ToolFailure, match="full_feature_names"):
        joined(work, rows, "things")
    _, got = joined(work, rows, "things", full=True)
    assert got[["value", "things__value"]].to_numpy().tolist() == [[7.0, 5.0]]


def test_two_views_with_different_keys_join_side_by_side(work: Work, store: Store, register: Register) -> None:
    register(pd.DataFrame({"key": [1], "at": [NOON], "value": [5.0]}))
    register(pd.DataFrame({"person": ["ann"], "at": [NOON], "age": [40]}), "people", entity="person")
    rows = pd.DataFrame({"key": [1, None], "person": [None, "ann"], "event_timestamp": [NOON] * 2})
    rows["key"] = rows["key"].astype("Int64")
    result, got = joined(work, store(rows, "rows"), "people:age", "things:value")
    assert result.added == ["age", "value"]
    assert got["age"].tolist()[1] == 40
    assert got["value"].tolist()[0] == 5.0
    assert [view.key_or_time_missing for view in result.views] == [1, 1]


def test_rows_that_all_lack_a_key_keep_their_place(work: Work, store: Store, register: Register) -> None:
    register(pd.DataFrame({"key": ["a"], "at": [NOON], "value": [5.0]}))
    rows = pd.DataFrame({"key": pd.Series([None, None], dtype="string"), "event_timestamp": [NOON] * 2})
    result, got = joined(work, store(rows, "rows"), "things")
    assert (len(got), result.views[0].matched) == (2, 0)
    assert got["value"].isna().all()


def test_a_naive_time_counts_as_utc(work: Work, store: Store, register: Register) -> None:
    register(pd.DataFrame({"key": [1], "at": [NOON.tz_localize(None)], "value": [5.0]}))
    rows = pd.DataFrame({"key": [1, 1], "when": [NOON, NOON - timedelta(seconds=1)]})
    _, got = joined(work, store(rows, "rows"), "things")
    assert got["value"].tolist()[0] == 5.0
    assert got["value"].isna().tolist() == [False, True]


def test_a_view_over_the_same_rows_is_pointed_out(work: Work, store: Store) -> None:
    frame = pd.DataFrame({"key": [1, 2], "event_timestamp": [NOON] * 2, "outcome": [0, 1]})
    handle = store(frame, "rows")
    client.register_features(work, handle, "self", "key", "event_timestamp", [], "", None, "")
    result, _ = joined(work, handle, "self", full=True)
    assert any("its own outcome" in note for note in result.notes)


def test_what_does_not_exist_is_an_error_with_the_nearest_names(work: Work, store: Store, register: Register) -> None:
    register(pd.DataFrame({"key": [1], "at": [NOON], "value": [5.0]}))
    rows = store(pd.DataFrame({"key": [1], "kee": ["1"], "event_timestamp": [NOON]}), "rows")
    for features, said in (
        (["thinks:value"], "Did you mean things"),
        (["things:valu"], "Did you mean value"),
        ([], "no features are requested"),
    ):
        with pytest.raises(ToolFailure, match=said):
            joined(work, rows, *features)
    with pytest.raises(ToolFailure, match="unknown time column"):
        client.get_historical_features(work, rows, ["things"], "key", False, "")
    with pytest.raises(ToolFailure, match="key column"):
        joined(work, store(pd.DataFrame({"kee": [1], "event_timestamp": [NOON]}), "rows"), "things")
    with pytest.raises(ToolFailure, match="string in"):
        joined(work, store(pd.DataFrame({"key": ["1"], "event_timestamp": [NOON]}), "rows"), "things")


def test_the_joined_dataset_leads_back_to_both_sources(work: Work, store: Store, register: Register) -> None:
    view = register(pd.DataFrame({"key": [1], "at": [NOON], "value": [5.0]}))
    rows = store(pd.DataFrame({"key": [1], "event_timestamp": [NOON]}), "rows")
    result, _ = joined(work, rows, "things")
    ancestors = {edge.parent for edge in Lineage(work.home).ancestors(result.dataset)}
    assert ancestors >= {rows, view.dataset, "features:things"}
