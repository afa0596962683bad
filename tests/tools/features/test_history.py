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
from mlops_mcp.tools.features.models import FeatureJoin, JoinRequest, View
from mlops_mcp.tools.lineage import Lineage
from mlops_mcp.tools.runtime.work import Work

pytestmark = pytest.mark.filterwarnings("ignore")
Store = Callable[..., str]
Register = Callable[..., View]
NOON = pd.Timestamp("2024-06-01T12:00:00", tz="UTC")


def joined(work: Work, dataset: str, *features: str, full: bool = False) -> tuple[FeatureJoin, pd.DataFrame]:
    result = client.get_historical_features(
        work, JoinRequest(dataset=dataset, features=list(features), full_feature_names=full)
    )
    return result, resolve(work, result.dataset).frame()


def by_pandas(rows: pd.DataFrame, history: pd.DataFrame, key: str, time: str, ttl: timedelta | None) -> pd.DataFrame:
    """The same join with pandas alone; `history` has one row per key and time, known from that time on."""
    left = rows.reset_index(names="row")[["row", key, "event_timestamp"]].dropna().sort_values("event_timestamp")
    right = history.rename(columns={time: "found"}).sort_values("found")
    match = pd.merge_asof(left, right, left_on="event_timestamp", right_on="found", by=key, tolerance=ttl)
    return match.set_index("row").reindex(rows.index)


def assert_same(got: pd.DataFrame, expected: pd.DataFrame, columns: list[str]) -> None:
    for column in columns:
        pd.testing.assert_series_equal(
            got[column],
            _gaps_alike(expected[column]),
            check_dtype=False,
            check_names=False,
            check_index=False,
            check_exact=True,
        )


def _gaps_alike(values: pd.Series) -> pd.Series:
    """DuckDB gives another kind of missing truth value than Parquet does."""
    return values.astype(object).where(values.notna(), None) if values.dtype == "boolean" else values


def test_real_loans_get_the_same_zip_code_columns_as_from_pandas(work: Work) -> None:
    zipcodes, loans = (f"{work.settings.roots[0]}/credit_risk/{name}_table.parquet" for name in ("zipcode", "loan"))
    client.register_features(work, zipcodes, "zip", "zipcode", "event_timestamp", [], "created_timestamp", None, "")
    result, got = joined(work, loans, "zip")
    rows, history = resolve(work, loans).frame(), resolve(work, zipcodes).frame()
    expected = by_pandas(rows, history.drop(columns="created_timestamp"), "zipcode", "event_timestamp", None)
    assert (result.rows, result.views[0].matched) == (28638, 28638)
    added = {column.name: column for column in result.added}
    assert_same(got, expected, list(added))
    numbers = expected[list(added)].select_dtypes("number").mean()
    assert {name: column.mean for name, column in added.items() if column.mean} == pytest.approx(numbers.to_dict())
    assert {name: column.missing for name, column in added.items()} == expected[list(added)].isna().mean().to_dict()
    pd.testing.assert_frame_equal(got[list(rows.columns)], rows)


@pytest.mark.parametrize("ttl_days", [None, 3.0, 1.37])
@pytest.mark.parametrize("text_keys", [False, True])
def test_every_row_of_a_hard_history_equals_a_search_for_it(
    work: Work, store: Store, register: Register, ttl_days: float | None, text_keys: bool
) -> None:
    rows, history = hard_history(text_keys)
    register(history, created="made", ttl_days=ttl_days)
    result, got = joined(work, store(rows, "rows"), "things")
    ttl = timedelta(days=ttl_days) if ttl_days else None
    expected = by_sql(rows, history, ttl)
    assert_same(got, expected, ["number", "whole", "text", "flag"])
    counts = result.views[0]
    assert counts.matched == int(expected["found"].notna().sum())
    whenever = by_sql(rows, history, ttl, "true")
    newer = whenever["place"].notna() & (whenever["place"] != expected["place"].fillna(-1))
    assert counts.created_later == int(newer.sum()) > 0
    others = counts.key_or_time_missing + counts.key_unknown + counts.before_first_value + counts.older_than_ttl
    assert counts.matched + others == len(rows) == len(got)
    assert all(
        count > 0
        for count in (counts.matched, counts.key_or_time_missing, counts.key_unknown, counts.before_first_value)
    )
    assert (counts.older_than_ttl > 0) is (ttl_days is not None)


def by_sql(
    rows: pd.DataFrame, history: pd.DataFrame, ttl: timedelta | None, known: str = "h.made <= r.event_timestamp"
) -> pd.DataFrame:
    """The same join as it is defined, by DuckDB: of all values that a row may see, the last one."""
    import duckdb

    asked = rows.assign(row=range(len(rows)))
    values = history.assign(place=range(len(history)))
    limit = f'and epoch_us(r.event_timestamp) - epoch_us(h."at") <= {ttl // timedelta(microseconds=1)}' if ttl else ""
    with duckdb.connect() as database:
        database.register("asked", asked)
        database.register("given", values)
        found = database.sql(
            'select r.row, h."at" as found, h.* exclude (key, "at", made) from asked r left join given h '
            f'on r.key = h.key and h."at" <= r.event_timestamp and {known} {limit} '
            'qualify row_number() over (partition by r.row order by h."at" desc, h.made desc, h.place desc) = 1'
        ).df()
    return found.set_index("row").sort_index()


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
    # Two of three are recorded within the hour, the others up to forty days later.
    late = np.where(np.arange(count) % 3 == 0, random.integers(0, 960, count), 0)
    history["made"] = history["at"] + pd.to_timedelta(np.arange(count), "s") + pd.to_timedelta(late, "h")
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


def test_a_value_that_was_recorded_later_does_not_reach_back(work: Work, store: Store, register: Register) -> None:
    """The first is a chargeback of 10 January that is known since 20 February."""
    days = [pd.Timestamp(f"2024-{day}") for day in ("01-01", "01-10", "01-15", "02-19", "02-20", "03-01")]
    late = {"key": [1, 1], "at": [days[0], days[1]], "made": [days[0], days[4]], "chargeback": [0, 1]}
    register(pd.DataFrame(late), created="made")
    rows = pd.DataFrame({"key": [1] * 4, "event_timestamp": days[2:]})
    result, got = joined(work, store(rows, "rows"), "things")
    assert got["chargeback"].tolist() == [0, 0, 1, 1]
    assert (result.views[0].matched, result.views[0].created_later) == (4, 2)
    assert any("2 rows did not get a newer value" in note for note in result.notes)
    assert any("only values created by then, that moment included" in note for note in result.notes)


def test_a_row_before_its_first_value_was_recorded_gets_none(work: Work, store: Store, register: Register) -> None:
    made = NOON + timedelta(days=5)
    register(pd.DataFrame({"key": [1], "at": [NOON], "made": [made], "value": [5.0]}), created="made")
    rows = pd.DataFrame({"key": [1, 1], "event_timestamp": [made - timedelta(microseconds=1), made]})
    result, got = joined(work, store(rows, "rows"), "things")
    assert got["value"].isna().tolist() == [True, False]
    counts = result.views[0]
    assert (counts.matched, counts.before_first_value, counts.created_later) == (1, 1, 1)


def test_values_without_a_created_time_are_dropped_and_counted(work: Work, store: Store, register: Register) -> None:
    frame = pd.DataFrame({"key": [1, 1], "at": [NOON, NOON], "made": [NOON, pd.NaT], "value": [5.0, 6.0]})
    view = register(frame, created="made")
    assert any("1 rows without key or at or made dropped" in note for note in view.notes)
    _, got = joined(work, store(pd.DataFrame({"key": [1], "event_timestamp": [NOON]}), "rows"), "things")
    assert got["value"].tolist() == [5.0]


@pytest.mark.parametrize("name", ["CamelCase", "with-hyphen", "A"])
def test_a_feature_may_have_any_name_that_the_join_can_take(
    work: Work, store: Store, register: Register, name: str
) -> None:
    register(pd.DataFrame({"Key-1": [1], "at": [NOON], name: [5.0]}), "my-view", entity="Key-1")
    rows = store(pd.DataFrame({"Key-1": [1], "event_timestamp": [NOON]}), "rows")
    _, got = joined(work, rows, f"my-view:{name}")
    assert got[name].tolist() == [5.0]


@pytest.mark.parametrize(
    ("ttl_days", "distance", "found"),
    [
        (10, timedelta(0), True),
        (10, timedelta(microseconds=-1), False),
        (10, timedelta(days=10), True),
        (10, timedelta(days=10, microseconds=1), False),
        (1.5, timedelta(hours=36), True),
        (1.5, timedelta(hours=36, microseconds=1), False),
        (0.25, timedelta(hours=6), True),
        (0.25, timedelta(hours=6, microseconds=1), False),
    ],
)
def test_the_limits_of_time_are_inclusive(
    work: Work, store: Store, register: Register, ttl_days: float, distance: timedelta, found: bool
) -> None:
    register(pd.DataFrame({"key": [1], "at": [NOON], "value": [5.0]}), ttl_days=ttl_days)
    rows = store(pd.DataFrame({"key": [1], "event_timestamp": [NOON + distance]}), "rows")
    result, got = joined(work, rows, "things")
    assert got["value"].tolist() == [5.0] if found else got["value"].isna().all()
    assert any("exactly as old as its ttl still counts" in note for note in result.notes)
    assert client.list_features(work, "things", 1, "").items[0].ttl_days == ttl_days


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
    assert [(column.name, column.missing, column.mean) for column in result.added] == [
        ("age", 0.5, 40.0),
        ("value", 0.5, 5.0),
    ]
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
        client.get_historical_features(work, JoinRequest(dataset=rows, features=["things"], timestamp_column="key"))
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
