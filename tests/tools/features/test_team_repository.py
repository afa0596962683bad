"""A team has a Feast repository already: it is used as it is, and not a byte of it changes unless that is allowed."""

from __future__ import annotations

import pickle
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from mlops_mcp.config.load import load
from mlops_mcp.server.probes import answers, questions
from mlops_mcp.tools.data.store import resolve, save
from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.features import client, removal
from mlops_mcp.tools.features.models import FeatureJoin, JoinRequest, MaterializeRequest
from mlops_mcp.tools.features.registry import imported
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.tracing.span import Tracer

from . import teams

pytestmark = pytest.mark.slow
ALL = ["DriverStats", "places:people", "places:big"]


@pytest.fixture(scope="module", params=["file", "sql"])
def original(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return teams.made(tmp_path_factory.mktemp("team") / "repo", request.param)


@pytest.fixture
def repository(original: Path) -> Path:
    """The one of the module, which reading does not change."""
    return original


@pytest.fixture
def work(repository: Path, tmp_path: Path) -> Work:
    return opened(repository, tmp_path)


def opened(repository: Path, tmp_path: Path, **more: Any) -> Work:
    values = {"feast.repo_path": str(repository), **{f"feast.{name}": value for name, value in more.items()}}
    settings = load({"MLOPS_HOME": str(tmp_path / "home")}, values).settings
    return Work(settings, Tracer(lambda _: None))


def files(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def rows(work: Work) -> str:
    return save(work, pa.Table.from_pandas(teams.asked(), preserve_index=False), "rows", [], "test").handle


def joined(work: Work, features: list[str], full: bool = False, handle: str = "") -> tuple[FeatureJoin, pd.DataFrame]:
    request = JoinRequest(dataset=handle or rows(work), features=features, full_feature_names=full)
    made = client.get_historical_features(work, request)
    return made, resolve(work, made.dataset).table().to_pandas()


def theirs(repository: Path) -> Any:
    return imported().FeatureStore(repo_path=str(repository))


def by_feast(repository: Path, features: Any, frame: pd.DataFrame | None = None) -> pd.DataFrame:
    """What Feast's own API answers, run where the team runs it, in the order of the rows."""
    with teams.inside(repository):
        asked = teams.asked() if frame is None else frame
        job = theirs(repository).get_historical_features(asked, features, filter_by_created_timestamp=True)
        return job.to_df().sort_values("n").reset_index(drop=True)


def test_a_session_of_reads_changes_not_a_byte_of_the_repository(work: Work, repository: Path) -> None:
    before = files(repository)
    for call in READS:
        call(work)
    for refused in WRITES:
        with pytest.raises(ToolFailure, match="Feast repository of a team"):
            refused(work)
    assert files(repository) == before


READS: tuple[Callable[[Work], object], ...] = (
    lambda work: client.list_features(work, "", 10, ""),
    lambda work: joined(work, ALL),
    lambda work: client.get_online_features(work, ["DriverStats"], [{"driver_id": 1, "Route": "a"}]),
    lambda work: client.get_feature_statistics(work, "DriverStats", 10, ""),
)
WRITES: tuple[Callable[[Work], object], ...] = (
    lambda work: client.register_features(work, rows(work), "v", "n", "event_timestamp", ["City"], "", None, ""),
    lambda work: client.register_feature(work, "x", "places", "City", "int64", ""),
    lambda work: client.materialize_features(work, MaterializeRequest(views=[], start="", end="")),
    lambda work: removal.find_features(work, "features:places"),
)


def test_views_and_services_are_listed_with_all_their_keys_and_types(work: Work) -> None:
    listed = {view.view: view for view in client.list_features(work, "", 10, "").items}
    assert list(listed) == ["features:DriverStats", "features:places", "features:activity", "features:moved"]
    stats = client.list_features(work, "features:DriverStats", 10, "").items[0]
    assert (stats.entity, stats.entity_type) == ("driver_id, Route", "int64, string")
    assert stats.features == {"Rating": "float64", "trips": "int64"}
    assert (stats.ttl_days, stats.created_timestamp_column) == (30, "made")
    assert stats.online_until == teams.NOW.isoformat()
    assert stats.feature_descriptions == {"Rating": "mean of a day"}
    service = listed["features:activity"]
    assert (service.kind, service.entity) == ("service", "driver_id, Route, City")
    assert service.features == {"DriverStats:Rating": "float64", "places:people": "int64", "places:big": "bool"}
    with pytest.raises(ToolFailure, match="unknown feature view 'nothing'"):
        client.list_features(work, "nothing", 10, "")


def test_a_join_keeps_every_row_in_its_place_and_gives_it_the_values_that_feast_gives(
    work: Work, repository: Path
) -> None:
    made, found = joined(work, ALL)
    assert list(found["n"]) == list(range(6))
    assert found["people"][1] == 9_007_199_254_740_993
    assert found["Rating"].isna().tolist() == [False, False, True, True, True, True]
    assert [match.matched for match in made.views] == [4, 5]
    assert [match.unexplained for match in made.views] == [2, 1]
    frame = teams.asked().query("n != 2")  # Feast's store over Dask drops the row that comes before all values
    expected = by_feast(repository, ["DriverStats:Rating", "DriverStats:trips", "places:people", "places:big"], frame)
    kept = found[found["n"].isin(expected["n"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(kept[expected.columns], expected, check_dtype=False)


def test_a_value_that_was_created_only_after_the_time_of_a_row_is_not_joined(work: Work) -> None:
    frame = teams.asked().head(1).assign(event_timestamp=teams.START + timedelta(days=10, minutes=30))
    handle = save(work, pa.Table.from_pandas(frame, preserve_index=False), "early", [], "test").handle
    assert joined(work, ["DriverStats:trips"], handle=handle)[1]["trips"].tolist() == [100]


def test_a_service_is_joined_under_the_names_and_keys_that_it_gives_its_views(work: Work) -> None:
    frame = teams.asked().rename(columns={"City": "home"})
    handle = save(work, pa.Table.from_pandas(frame, preserve_index=False), "moving", [], "test").handle
    made, found = joined(work, ["moved"], full=True, handle=handle)
    assert found["home_city__people"].dropna().tolist()[0] == 430_000
    assert made.views[0].view == "features:home_city"
    with pytest.raises(ToolFailure, match="Ask for this service alone"):
        joined(work, ["moved", "DriverStats"], handle=handle)


@pytest.mark.parametrize(
    ("features", "said"),
    [
        (["DriverStats:rating"], "unknown feature of DriverStats 'rating'"),
        (["nothing"], "unknown feature view"),
        ([], "no features are requested"),
    ],
)
def test_what_the_repository_does_not_have_is_named(work: Work, features: list[str], said: str) -> None:
    with pytest.raises(ToolFailure, match=said):
        joined(work, features)


def test_rows_without_a_key_or_a_time_are_said_or_get_nothing(work: Work) -> None:
    frame = teams.asked().assign(event_timestamp=pd.Series([None] * 6, dtype="datetime64[us, UTC]"))
    handle = save(work, pa.Table.from_pandas(frame, preserve_index=False), "timeless", [], "test").handle
    made, found = joined(work, ["DriverStats"], handle=handle)
    assert (made.rows, made.views[0].matched, found["trips"].notna().sum()) == (6, 0, 0)
    text = save(
        work, pa.Table.from_pandas(teams.asked().astype({"driver_id": str}), preserve_index=False), "text", [], "test"
    ).handle
    with pytest.raises(ToolFailure, match="driver_id is string"):
        joined(work, ["DriverStats"], handle=text)


def test_online_values_are_those_that_feast_answers(work: Work, repository: Path) -> None:
    keys: list[dict[str, Any]] = [
        {"driver_id": 1, "Route": "a"},
        {"driver_id": "2", "Route": "b"},
        {"driver_id": 3, "Route": "b"},
    ]
    found = client.get_online_features(work, ["DriverStats"], keys)
    assert [row.status for row in found.rows] == ["found", "found", "unknown"]
    rows = [{"driver_id": int(key["driver_id"]), "Route": key["Route"]} for key in keys]
    names = ["DriverStats:Rating", "DriverStats:trips"]
    expected = theirs(repository).get_online_features(features=names, entity_rows=rows).to_dict()
    assert [row.values["Rating"] for row in found.rows] == expected["Rating"]
    assert [row.values["trips"] for row in found.rows] == expected["trips"]
    assert found.rows[0].as_of == {"features:DriverStats": (teams.NOW - timedelta(days=1)).isoformat()}
    never = client.get_online_features(work, ["places"], [{"City": "Bern"}])
    assert (never.rows[0].status, never.rows[0].values) == ("unknown", {"people": None, "big": None})
    assert "no materialization is noted" in " ".join(never.notes)


@pytest.mark.parametrize("row", [{"driver_id": 1}, {"driver_id": "x", "Route": "a"}, {"driver_id": None, "Route": "a"}])
def test_a_row_needs_each_key_in_its_type(work: Work, row: dict[str, Any]) -> None:
    with pytest.raises(ToolFailure, match="row 1"):
        client.get_online_features(work, ["DriverStats"], [row])


def test_statistics_are_of_all_rows_of_the_source(work: Work) -> None:
    found = client.get_feature_statistics(work, "DriverStats", 10, "")
    assert (found.rows, found.keys, found.first) == (12, 4, teams.START.isoformat())
    rating, trips = found.features
    assert (rating.missing, trips.mean) == (1, teams.drivers()["trips"].mean())


def test_materializing_where_it_is_allowed_writes_what_feast_reads_and_notes_the_time(
    repository: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(repository, copy)
    for file in copy.glob("feature_store.yaml"):
        file.write_text(file.read_text().replace(str(repository), str(copy)))
    work = opened(copy, tmp_path, write_repository=True)
    made = client.materialize_features(work, MaterializeRequest(views=["places"], start="", end=""))
    assert (made.views[0].keys, made.undo) == (2, None)
    online = theirs(copy).get_online_features(features=["places:people"], entity_rows=[{"City": "Zürich"}]).to_dict()
    assert online["people"] == [430_000]
    view = theirs(copy).get_feature_view("places")
    assert view.materialization_intervals[0][1].isoformat() == made.views[0].end
    assert view.batch_source.path == "data/cities.parquet"
    with pytest.raises(ToolFailure, match="older values would replace newer ones"):
        client.materialize_features(work, MaterializeRequest(views=["places"], start="", end="2024-02-01"))
    with pytest.raises(ToolFailure, match="has no value from"):
        client.materialize_features(work, MaterializeRequest(views=["places"], start="2999-01-01", end="2999-01-02"))


def test_the_doctor_says_whose_repository_it_is(work: Work) -> None:
    (feast,) = [answer for answer in answers(questions(work.settings)) if answer.name == "feast"]
    assert (feast.state, "a team's repository" in feast.detail) == ("ok", True)


# The messages are the same in a database.
@pytest.mark.parametrize("original", ["file"], indirect=True)
def test_code_in_a_registry_is_never_run_and_what_needs_it_is_named(
    tmp_path: Path, original: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository, mark = tmp_path / "repo", tmp_path / "ran"
    shutil.copytree(original, repository)
    plant(repository / "data" / "registry.db", mark)
    (tmp_path / "evil_source.py").write_text(f"open({str(mark)!r}, 'w').close()")
    monkeypatch.syspath_prepend(tmp_path)
    work = opened(repository, tmp_path, write_repository=True)
    listed = client.list_features(work, "", 10, "")
    names = ["DriverStats", "places", "activity", "moved"]
    assert [view.view for view in listed.items] == [f"features:{name}" for name in names]
    said = " ".join(listed.items[0].notes)
    assert all(name in said for name in ("on_demand", "streamed", "foreign", "made_by_function", "with_code"))
    for name in ("on_demand", "streamed", "foreign", "made_by_function", "with_code"):
        with pytest.raises(ToolFailure, match=f"^{name} (is|has) "):
            client.get_online_features(work, [name], [{"City": "Bern"}])
    joined(work, ALL)
    client.get_feature_statistics(work, "places", 10, "")
    client.get_online_features(work, ["places"], [{"City": "Bern"}])
    client.materialize_features(work, MaterializeRequest(views=["places"], start="", end=""))
    assert not mark.exists()


def plant(registry: Path, mark: Path) -> None:
    """Views whose functions and classes leave a mark when they are run or imported, and a service with one of them."""
    from feast.protos.feast.core.Registry_pb2 import Registry

    held, body = Registry.FromString(registry.read_bytes()), f"open({str(mark)!r}, 'w').close()"
    on_demand, stream = held.on_demand_feature_views.add(), held.stream_feature_views.add()
    on_demand.spec.name, stream.spec.name = "on_demand", "streamed"
    on_demand.spec.project = stream.spec.project = "team"
    for function in (
        on_demand.spec.feature_transformation.user_defined_function,
        stream.spec.feature_transformation.user_defined_function,
    ):
        function.name, function.body_text, function.body = "f", body, pickled(mark)
    for name in ("foreign", "made_by_function"):
        view = held.feature_views.add()
        view.CopyFrom(next(each for each in held.feature_views if each.spec.name == "places"))
        view.spec.name = name
        if name == "foreign":
            view.spec.batch_source.data_source_class_type = "evil_source.Source"
        else:
            view.spec.feature_transformation.user_defined_function.body = pickled(mark)
    service = held.feature_services.add()
    service.spec.name, service.spec.project = "with_code", "team"
    service.spec.features.add().feature_view_name = "on_demand"
    registry.write_bytes(held.SerializeToString())


class Planted:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, tuple[str, str]]:
        return open, (str(self.mark), "w")


def pickled(mark: Path) -> bytes:
    return pickle.dumps(Planted(mark))


def test_a_repository_to_which_nothing_was_applied_is_empty_and_stays_so(tmp_path: Path) -> None:
    repository = tmp_path / "new"
    repository.mkdir()
    (repository / "feature_store.yaml").write_text("project: team\nregistry: data/registry.db\nprovider: local\n")
    work = opened(repository, tmp_path)
    assert client.list_features(work, "", 10, "").total == 0
    with pytest.raises(ToolFailure, match="unknown feature view"):
        client.get_online_features(work, ["x"], [{"k": 1}])
    assert [path.name for path in repository.rglob("*")] == ["feature_store.yaml"]


def test_a_message_in_a_database_that_is_none_is_told(tmp_path: Path) -> None:
    repository = tmp_path / "bad"
    repository.mkdir()
    text = "project: team\nregistry:\n  registry_type: sql\n  path: sqlite:///r.db\n"
    (repository / "feature_store.yaml").write_text(text)
    with closing(sqlite3.connect(repository / "r.db")) as database, database:
        database.execute("create table entities (project_id, entity_proto)")
        database.execute("insert into entities values ('team', x'ff')")
    with pytest.raises(ToolFailure, match="table entities holds what is no message of Feast"):
        client.list_features(opened(repository, tmp_path), "", 10, "")


@pytest.mark.parametrize("block", ["registry: bad.db", "registry:\n  registry_type: sql\n  path: sqlite:///bad.db"])
def test_a_registry_that_is_none_is_said_to_be_so(tmp_path: Path, block: str) -> None:
    repository = tmp_path / "bad"
    repository.mkdir()
    (repository / "feature_store.yaml").write_text(f"project: team\n{block}\n")
    (repository / "bad.db").write_bytes(b"\xffnothing of Feast" * 100)
    with pytest.raises(ToolFailure, match=r"cannot be (read|used)"):
        client.list_features(opened(repository, tmp_path), "", 10, "")
