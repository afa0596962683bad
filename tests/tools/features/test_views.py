"""Registering: what Feast would misread is refused, and what changes is said."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pandas as pd
import pytest

from mlops_mcp.tools.data.store import resolve
from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.features import client
from mlops_mcp.tools.features.models import DType, View
from mlops_mcp.tools.features.registry import changing
from mlops_mcp.tools.runtime.work import Work

pytestmark = pytest.mark.filterwarnings("ignore")
Store = Callable[..., str]
Register = Callable[..., View]
DAYS = pd.date_range("2024-01-01", periods=3, tz="UTC")


def things(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame({"key": [1, 2, 3], "at": DAYS, "value": [1.0, 2.0, 3.0], **columns})


def test_a_view_shows_its_columns_and_that_nothing_gets_too_old(work: Work, register: Register) -> None:
    view = register(things(name=["a", "b", "c"], ok=[True, False, True]))
    assert view.features == {"value": "float64", "name": "string", "ok": "bool"}
    assert (view.entity, view.entity_type, view.ttl_days, view.online_until) == ("key", "int64", None, None)
    assert any("however old" in note for note in view.notes)
    assert client.list_features(work, "", 10, "").items[0].features == view.features


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"view": "Things"}, "cannot name a feature view"),
        ({"view": "features"}, "cannot be named"),
        ({"entity": "keys"}, "Did you mean key"),
        ({"entity": "value"}, "whole number or a text"),
        ({"timestamp_column": "value"}, "unknown time column"),
        ({"timestamp_column": "when"}, "unknown column"),
        ({"features": ["valu"]}, "Did you mean value"),
        ({"features": ["key"]}, "is the key or a time"),
        ({"features": ["parts"]}, "type that features cannot have"),
        ({"features": ["score_y"]}, "join uses this name"),
        ({"features": ["rn"]}, "join uses this name"),
        ({"features": ["two words"]}, "letters, digits, _ and -"),
        ({"features": ["Twice"]}, "differs only in upper and lower case"),
        ({"ttl_days": 1e-6}, "less than a second"),
        ({"created_timestamp_column": "at"}, "three columns"),
    ],
)
def test_what_feast_would_misread_is_refused(work: Work, store: Store, arguments: dict[str, Any], said: str) -> None:
    dataset = store(
        things(
            parts=[[1], [2], [3]], score_y=[1, 2, 3], rn=[1, 2, 3], **{"two words": [1, 2, 3], "twice": 1, "Twice": 2}
        )
    )
    chosen: dict[str, Any] = {"view": "things", "entity": "key", "timestamp_column": "at", "features": []}
    chosen |= {"created_timestamp_column": "", "ttl_days": None, "description": ""} | arguments
    with pytest.raises(ToolFailure, match=said):
        client.register_features(work, dataset, **chosen)
    assert client.list_features(work, "", 10, "").total == 0


def test_to_list_what_nobody_has_registered_makes_no_file(work: Work) -> None:
    assert client.list_features(work, "", 10, "").total == 0
    assert not work.settings.feast_home.exists()


def test_columns_that_cannot_be_features_are_left_out_and_named(register: Register) -> None:
    view = register(things(parts=[[1], [2], [3]], score_y=[1, 2, 3]))
    assert list(view.features) == ["value"]
    assert any("parts, score_y" in note for note in view.notes)


def test_rows_that_no_join_can_reach_are_dropped_and_counted(work: Work, store: Store) -> None:
    frame = pd.DataFrame(
        {
            "key": pd.array([1, None, 1, 2, 2], dtype="Int64"),
            "at": [DAYS[0], DAYS[0], DAYS[0], DAYS[1], pd.NaT],
            "value": [1.0, 2.0, 3.0, 4.0, 5.0],
        }
    )
    source = store(frame)
    view = client.register_features(work, source, "things", "key", "at", [], "", None, "")
    assert resolve(work, view.dataset).frame()["value"].tolist() == [3.0, 4.0]
    assert view.notes[:2] == [
        "2 rows without key or at dropped: no join can reach them",
        "1 rows repeat key, at: the last of each in file order is kept",
    ]


def test_a_view_is_replaced_and_what_that_means_is_said(work: Work, register: Register) -> None:
    register(things(extra=[1, 2, 3]))
    view = register(things(value=[7.0, 8.0, 9.0]))
    assert any("no longer has extra" in note for note in view.notes)
    assert any("online reads keep those values" in note for note in view.notes)
    assert client.list_features(work, "things", 10, "").items[0].dataset == view.dataset


def test_a_key_or_type_that_contradicts_another_registration_is_refused(register: Register) -> None:
    register(things())
    with pytest.raises(ToolFailure, match="other types for value"):
        register(things(value=["a", "b", "c"]))
    with pytest.raises(ToolFailure, match="int64 in features:things"):
        register(things(key=["a", "b", "c"]), "others")
    with pytest.raises(ToolFailure, match="keyed by key"):
        register(things().rename(columns={"key": "id"}), entity="id")


def test_one_feature_is_added_to_a_view_with_its_description(work: Work, register: Register) -> None:
    register(things(size=[1, 2, 3]), features=("value",))
    view = client.register_feature(work, "size", "things", "key", "int64", "How large")
    assert view.features == {"value": "float64", "size": "int64"}
    assert client.list_features(work, "things", 10, "").items[0].feature_descriptions == {"size": "How large"}
    wrong: list[tuple[tuple[str, str, str, DType], str]] = [
        (("sizes", "things", "key", "int64"), "Did you mean size"),
        (("size", "thing", "key", "int64"), "Did you mean things"),
        (("size", "things", "id", "int64"), "keyed by key"),
        (("size", "things", "key", "string"), "is int64, not string"),
        (("at", "things", "key", "timestamp"), "key or a time"),
    ]
    for arguments, said in wrong:
        with pytest.raises(ToolFailure, match=said):
            client.register_feature(work, *arguments, "")


def test_a_registry_that_holds_code_is_refused(work: Work, register: Register) -> None:
    register(things())
    with closing(sqlite3.connect(work.settings.feast_home / "registry.db")) as registry:
        registry.execute("insert into on_demand_feature_views values ('f', 'mlops', 0, x'00', x'00')")
        registry.commit()
    with pytest.raises(ToolFailure, match="run code"):
        client.list_features(work, "", 10, "")


def test_a_registry_that_is_no_database_is_an_error_with_the_way_to_it(work: Work) -> None:
    work.settings.feast_home.mkdir(parents=True)
    (work.settings.feast_home / "registry.db").write_text("this is not a database, but it is long enough", "utf-8")
    with pytest.raises(ToolFailure, match=r"setting feast\.repo_path"):
        client.list_features(work, "", 10, "")


def test_statistics_tell_numbers_texts_missing_and_age(work: Work, register: Register) -> None:
    register(things(value=[1.0, None, float("inf")], name=["a", "a", None]))
    found = client.get_feature_statistics(work, "things", 20, "")
    value, name = found.features
    assert (found.rows, found.keys, found.last) == (3, 3, "2024-01-03T00:00:00+00:00")
    assert (value.missing, value.infinite, value.mean, value.max) == (1, 1, 1.0, 1.0)
    assert (name.missing, name.top) == (1, {"a": 2})
    with pytest.raises(ToolFailure, match="Did you mean things"):
        client.get_feature_statistics(work, "thing", 20, "")


def test_statistics_keep_whole_numbers_apart_that_a_float_would_merge(register: Register, work: Work) -> None:
    ids = [1930000000000000003, None, 1930000000000000005]
    register(things(id=pd.array(ids, dtype="Int64"), small=pd.array([1, None, 3], dtype="Int64")))
    _, wide, small = client.get_feature_statistics(work, "things", 20, "").features
    assert (wide.unique, wide.missing, wide.min, wide.max) == (2, 1, "1930000000000000003", "1930000000000000005")
    assert (small.unique, small.min, small.max, small.mean, small.median) == (2, 1.0, 3.0, 2.0, 2.0)


def test_a_long_view_is_cut_in_the_list_and_whole_by_name(work: Work, register: Register) -> None:
    register(things(**{f"feature_{number}": [1, 2, 3] for number in range(40)}))
    listed = client.list_features(work, "", 10, "").items[0]
    assert len(listed.features) == 20
    assert listed.notes == ["21 more features: list_features(view='features:things')"]
    assert len(client.list_features(work, "things", 10, "").items[0].features) == 41


def test_a_view_that_another_process_writes_is_not_written_at_the_same_time(
    work: Work, register: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlops_mcp.tools.features.registry.PATIENCE_S", 0.2)
    with changing(work, "things"), pytest.raises(ToolFailure, match="written by another process"):
        register(things())


REGISTER_FIVE = """
import sys
from mlops_mcp.config.load import load
from mlops_mcp.tools.features import client
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.tracing.span import Tracer
home, dataset, number = sys.argv[1:]
work = Work(load({"MLOPS_HOME": home}).settings, Tracer(lambda _: None))
for index in range(5):
    client.register_features(work, dataset, f"view_{number}_{index}", "key", "at", [], "", None, "")
"""


@pytest.mark.slow
def test_processes_that_meet_in_an_empty_folder_lose_no_view(work: Work, store: Store) -> None:
    dataset = store(things())
    processes = [
        subprocess.Popen([sys.executable, "-c", REGISTER_FIVE, work.home, dataset, str(number)], stderr=subprocess.PIPE)
        for number in range(3)
    ]
    errors = [process.communicate()[1].decode() for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], errors
    assert client.list_features(work, "", 20, "").total == 15
