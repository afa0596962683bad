"""Online values: the newest ones, in the order of the request, and never an absent one as if it were there."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pytest
from pydantic import JsonValue

from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.features import client
from mlops_mcp.tools.features.models import Materialized, MaterializeRequest, View
from mlops_mcp.tools.features.online import Written
from mlops_mcp.tools.features.registry import empty_online, opened
from mlops_mcp.tools.runtime.models import Progress
from mlops_mcp.tools.runtime.work import Reporter, Work

pytestmark = pytest.mark.filterwarnings("ignore")
Register = Callable[..., View]
NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)


def history() -> pd.DataFrame:
    """Key 1 has two values and one in the future, key 2 a tie, key 3 a missing newest value."""
    return pd.DataFrame(
        {
            "key": [1, 1, 1, 2, 2, 3, 3],
            "at": [NOW - 9 * DAY, NOW - 2 * DAY, NOW + DAY, NOW - 5 * DAY, NOW - 5 * DAY, NOW - 8 * DAY, NOW - 7 * DAY],
            "made": [NOW - 9 * DAY, NOW, NOW, NOW - 4 * DAY, NOW - 3 * DAY, NOW, NOW],
            "value": [1.0, 2.0, 99.0, 3.0, 4.0, 5.0, None],
            "name": ["a", "b", "z", "c", "d", "e", "f"],
            "count": pd.array([1, 2, 99, 3, 4, 5, 2**60 + 1], dtype="Int64"),
        }
    )


def materialize(work: Work, *views: str, start: str = "", end: str = "") -> Materialized:
    return client.materialize_features(work, MaterializeRequest(views=list(views), start=start, end=end))


def test_the_newest_values_come_in_the_order_of_the_request(work: Work, register: Register) -> None:
    register(history(), created="made")
    written = materialize(work).views[0]
    assert (written.keys, written.left_out_after_end) == (3, 1)
    answer = client.get_online_features(
        work, ["things:name", "things:count", "things:value"], [{"key": key} for key in (3, 1, 2)]
    )
    assert [list(row.values.items()) for row in answer.rows] == [
        [("name", "f"), ("count", str(2**60 + 1)), ("value", None)],
        [("name", "b"), ("count", 2), ("value", 2.0)],
        [("name", "d"), ("count", 4), ("value", 4.0)],
    ]
    assert answer.rows[1].as_of == {"features:things": (NOW - 2 * DAY).isoformat()}
    assert [row.status for row in answer.rows] == ["found"] * 3


def test_an_unknown_key_is_told_from_a_missing_value(work: Work, register: Register) -> None:
    register(history(), created="made")
    materialize(work)
    unknown, known = client.get_online_features(work, ["things:value"], [{"key": 77}, {"key": 3}]).rows
    assert (unknown.status, unknown.as_of) == ("unknown", {"features:things": None})
    assert (known.status, known.values) == ("found", {"value": None})


def test_a_value_beyond_its_ttl_is_withheld_as_in_a_join(work: Work, register: Register) -> None:
    register(history(), created="made", ttl_days=4)
    materialize(work)
    old, young = client.get_online_features(work, ["things:name"], [{"key": 2}, {"key": 1}]).rows
    assert (old.status, old.values) == ("expired", {"name": None})
    assert (young.status, young.values) == ("found", {"name": "b"})


def test_older_values_never_replace_newer_ones(work: Work, register: Register) -> None:
    register(history(), created="made")
    materialize(work)
    with pytest.raises(ToolFailure, match="older values would replace newer ones"):
        materialize(work, end=(NOW - 6 * DAY).isoformat())
    assert client.get_online_features(work, ["things:name"], [{"key": 1}]).rows[0].values == {"name": "b"}


def test_an_end_that_lies_ahead_means_now_and_locks_nothing(work: Work, register: Register) -> None:
    register(history(), created="made")
    first = materialize(work, end="2100-01-01")
    assert any("end lies ahead" in note for note in first.notes)
    assert (first.views[0].keys, first.views[0].left_out_after_end) == (3, 1)
    assert client.get_online_features(work, ["things:name"], [{"key": 1}]).rows[0].values == {"name": "b"}
    assert materialize(work).views[0].keys == 3


def test_a_view_that_an_older_version_has_locked_opens_again(work: Work, register: Register) -> None:
    register(history(), created="made")
    materialize(work)
    mark = next((work.settings.feast_home / "materialized").iterdir())
    ahead = datetime.now(UTC) + 1000 * DAY
    mark.write_text(Written(dataset="", end=ahead).model_dump_json(), encoding="utf-8")
    assert materialize(work).views[0].keys == 3


def test_a_value_that_is_recorded_in_the_future_is_not_given_yet(work: Work, register: Register) -> None:
    frame = history().assign(made=lambda rows: rows["made"].mask(rows["name"] == "b", NOW + DAY))
    register(frame, created="made")
    assert any("1 values with a created time ahead were left out" in note for note in materialize(work).notes)
    assert client.get_online_features(work, ["things:name"], [{"key": 1}]).rows[0].values == {"name": "a"}


def test_whole_numbers_and_times_come_back_as_they_went_in(work: Work, register: Register) -> None:
    """The values that a float would merge: 1930000000000000003, …004 and …005 are one double."""
    ids = [1930000000000000003, None, 1930000000000000005, -(2**63), 2**53]
    seen = [NOW.replace(microsecond=123456), None, NOW, datetime(1969, 12, 31, 23, 59, 59, 5, UTC), NOW + DAY]
    at = [NOW - DAY + timedelta(seconds=number) for number in range(5)]
    keys = [2**53 + number for number in range(5)]
    frame = pd.DataFrame({"key": keys, "at": at, "id": pd.array(ids, dtype="Int64")})
    frame["seen"] = pd.array([stamp and stamp.replace(tzinfo=None) for stamp in seen], dtype="timestamp[us][pyarrow]")
    frame["small"] = pd.array([1, None, 3, 4, 5], dtype="Int32")
    frame["single"] = pd.array([0.5, None, 1.5, float("inf"), 2.0], dtype="Float32")
    register(frame)
    materialize(work)
    asked: list[dict[str, JsonValue]] = [{"key": str(key)} for key in keys]
    answer = client.get_online_features(work, ["things"], asked)
    values = [row.values for row in answer.rows]
    assert [value["id"] for value in values] == [
        "1930000000000000003",
        None,
        "1930000000000000005",
        str(-(2**63)),
        2**53,
    ]
    assert [value["seen"] for value in values] == [stamp and stamp.isoformat() for stamp in seen]
    assert [value["small"] for value in values] == [1, None, 3, 4, 5]
    assert [value["single"] for value in values] == [0.5, None, 1.5, None, 2.0]
    assert [row.as_of["features:things"] for row in answer.rows] == [stamp.isoformat() for stamp in at]
    assert [row.key for row in answer.rows] == asked
    assert any("given as text" in note for note in answer.notes)
    number = client.get_online_features(work, ["things:small"], [{"key": 2**53 + 1}]).rows[0]
    assert (number.key, number.status) == ({"key": str(2**53 + 1)}, "found")


@pytest.mark.parametrize("kind", ["int32", "int16", "int64", "string"])
def test_keys_of_every_type_are_found(work: Work, register: Register, kind: str) -> None:
    frame = pd.DataFrame({"key": [7, -8], "at": [NOW] * 2, "value": [1.0, 2.0]})
    register(frame.assign(key=["7", "-8"]) if kind == "string" else frame.astype({"key": kind}))
    materialize(work)
    asked: list[dict[str, JsonValue]] = [{"key": "-8"}, {"key": "7" if kind == "string" else 7}]
    assert [row.values for row in client.get_online_features(work, ["things"], asked).rows] == [
        {"value": 2.0},
        {"value": 1.0},
    ]


def test_what_is_written_reads_the_same_through_feast_itself(work: Work, register: Register) -> None:
    register(history(), created="made")
    materialize(work)
    with opened(work) as store:
        read = store.get_online_features(["things:name", "things:count"], [{"key": key} for key in (1, 2, 3)]).to_dict()
    assert read == {"key": [1, 2, 3], "name": ["b", "d", "f"], "count": [2, 4, 2**60 + 1]}


@pytest.mark.parametrize("text_keys", [False, True])
def test_the_table_holds_what_feasts_own_loop_writes(work: Work, register: Register, text_keys: bool) -> None:
    """Keys, messages, texts and times, byte by byte."""
    from feast.infra.online_stores.sqlite import SqliteOnlineStore
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

    keys: list[Any] = ["ä", "", "z" * 300] if text_keys else [-(2**63), 0, 2**53 + 1]
    at = [NOW - DAY, datetime(1969, 12, 31, 23, 59, 58, 5, UTC), NOW - 9 * DAY]
    frame = pd.DataFrame({"key": keys, "at": at, "made": [NOW - DAY, NOW, NOW], "text": ["é", None, ""]})
    frame["flag"] = pd.array([True, None, False], dtype="boolean")
    frame["whole"] = pd.array([2**60 + 1, None, -1], dtype="Int64")
    frame["single"] = pd.array([0.1, None, float("inf")], dtype="Float32")
    frame["double"] = [0.1, float("nan"), -0.0]
    frame["seen"] = pd.Series([NOW, pd.NaT, NOW])
    register(frame, created="made")
    materialize(work)
    ours = online_rows(work)
    fields = {"text": "string", "flag": "bool", "whole": "int64", "single": "float", "double": "double"}

    def message(name: str, value: Any) -> Any:
        if pd.isna(value):
            return Value()
        if name == "seen":
            return Value(unix_timestamp_val=int(value.timestamp()))
        return Value(**{f"{fields[name]}_val": value})

    records: list[dict[Any, Any]] = frame.to_dict("records")
    key_field = "string_val" if text_keys else "int64_val"
    batch = [
        (
            EntityKey(join_keys=["key"], entity_values=[Value(**{key_field: row["key"]})]),
            {name: message(name, row[name]) for name in [*fields, "seen"]},
            row["at"].to_pydatetime(),
            row["made"].to_pydatetime(),
        )
        for row in records
    ]
    empty_online(work.settings, "things")
    with opened(work) as store:
        SqliteOnlineStore().online_write_batch(store.config, store.get_feature_view("things"), batch, None)
    assert len(ours) == 18
    assert ours == online_rows(work)


def online_rows(work: Work) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(work.settings.feast_home / "online.db")) as database:
        return sorted(database.execute(f"select * from {work.settings.feast.project}_things"))


def test_the_registry_is_read_anew_when_somebody_has_written_it_and_only_then(
    work: Work, register: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(history(), created="made", features=("name",))
    materialize(work)
    asked: list[dict[str, JsonValue]] = [{"key": 1}]
    client.get_online_features(work, ["things"], asked)
    read: list[int] = []
    with opened(work) as store:
        refresh = store.refresh_registry

        def counted() -> None:
            read.append(1)
            refresh()

        monkeypatch.setattr(store, "refresh_registry", counted)
    assert client.get_online_features(work, ["things"], asked).rows[0].values == {"name": "b"}
    assert read == []
    other = Work(work.settings, work.tracer)
    client.register_feature(other, "count", "things", "key", "int64", "")
    materialize(other)
    assert client.get_online_features(work, ["things"], asked).rows[0].values == {"name": "b", "count": 2}
    assert read == [1]


def test_a_feature_that_was_added_since_is_said_to_be_absent(work: Work, register: Register) -> None:
    register(history(), created="made", features=("name",))
    materialize(work)
    client.register_feature(work, "count", "things", "key", "int64", "")
    answer = client.get_online_features(work, ["things"], [{"key": 1}])
    assert answer.rows[0].values == {"name": "b", "count": None}
    assert any("count was not materialized yet" in note for note in answer.notes)


def test_a_value_of_the_first_second_of_all_times_is_found(work: Work, register: Register) -> None:
    register(pd.DataFrame({"key": [1], "at": [datetime(1970, 1, 1, tzinfo=UTC)], "value": [5.0]}))
    materialize(work)
    row = client.get_online_features(work, ["things"], [{"key": 1}]).rows[0]
    assert (row.status, row.values) == ("found", {"value": 5.0})


def test_a_window_is_respected_and_an_empty_one_is_an_error(work: Work, register: Register) -> None:
    register(history(), created="made")
    assert materialize(work, start=(NOW - 9 * DAY).isoformat(), end=(NOW - 6 * DAY).isoformat()).views[0].keys == 2
    assert client.get_online_features(work, ["things:name"], [{"key": 1}]).rows[0].values == {"name": "a"}
    with pytest.raises(ToolFailure, match="has no value from"):
        materialize(work, start="2001-01-01", end="2001-02-01")
    with pytest.raises(ToolFailure, match="is after end"):
        materialize(work, start="2024-02-01", end="2024-01-01")
    with pytest.raises(ToolFailure, match="is not a time"):
        materialize(work, start="yesterday")


def test_a_view_that_was_never_materialized_is_an_error(work: Work, register: Register) -> None:
    register(history(), created="made")
    with pytest.raises(ToolFailure, match=r"never materialized.*materialize_features"):
        client.get_online_features(work, ["things"], [{"key": 1}])
    with pytest.raises(ToolFailure, match="Did you mean things"):
        materialize(work, "thing")


def test_values_of_a_replaced_dataset_are_said_to_be_so_until_they_are_renewed(work: Work, register: Register) -> None:
    before = register(history(), created="made").dataset
    materialize(work)
    register(history().query("key != 2").assign(name="new"), created="made")
    stale = client.get_online_features(work, ["things:name"], [{"key": 1}])
    assert stale.rows[0].values == {"name": "b"}
    assert any(before in note for note in stale.notes)
    assert any("keep their old online values" in note for note in materialize(work).notes)
    renewed = client.get_online_features(work, ["things:name"], [{"key": 1}])
    assert (renewed.rows[0].values, renewed.notes) == ({"name": "new"}, [])


def test_two_views_are_read_for_each_row_at_once(work: Work, register: Register) -> None:
    register(history(), created="made")
    people = pd.DataFrame({"person": ["ann"], "at": [NOW - DAY], "name": ["Ann"]})
    register(people, "people", entity="person")
    materialize(work)
    rows: list[dict[str, JsonValue]] = [{"key": 1, "person": "bob"}, {"person": "ann", "key": 77}]
    first, second = client.get_online_features(work, ["people:name", "things:name", "things:value"], rows).rows
    assert first.values == {"people__name": None, "things__name": "b", "value": 2.0}
    assert second.values == {"people__name": "Ann", "things__name": None, "value": None}
    assert (first.status, second.status) == ("partly", "partly")
    full = client.get_online_features(work, ["people", "things:value"], rows, full_feature_names=True).rows[0]
    assert full.values == {"people__name": None, "things__value": 2.0}


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"kee": 1}, "has no key, the key of features:things. It has kee"),
        ({"key": "one"}, "is int64, not 'one'"),
        ({"key": ""}, "is int64, not ''"),
        ({"key": 2**63}, "is int64, not 9223372036854775808"),
        ({"key": "9223372036854775808"}, "is int64, not '9223372036854775808'"),
        ({"key": 1.0}, "is int64, not 1.0"),
        ({"key": None}, "is int64, not None"),
        ({"key": True}, "is int64, not True"),
    ],
)
def test_a_key_of_another_name_or_type_is_refused(
    work: Work, register: Register, row: dict[str, JsonValue], said: str
) -> None:
    register(history(), created="made")
    materialize(work)
    with pytest.raises(ToolFailure, match=said):
        client.get_online_features(work, ["things"], [{"key": 1}, row])


def test_progress_is_told_view_by_view(work: Work, register: Register) -> None:
    told: list[Progress] = []
    register(history(), created="made")
    register(history(), "others", created="made")
    client.materialize_features(
        Work(work.settings, work.tracer, Reporter(told.append)), MaterializeRequest(views=[], start="", end="")
    )
    assert [(step.done, step.total) for step in told] == [(0, 2), (1, 2), (2, 2)]
    assert told[0].message == "view 1 of 2: others"
