"""A team's Feast repository whose registry and offline store are in PostgreSQL, its online store there or in Redis."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from mlops_mcp.config.load import load
from mlops_mcp.server.deep import deep_answers
from mlops_mcp.tools.data.store import resolve, save
from mlops_mcp.tools.errors import ToolFailure, Unavailable
from mlops_mcp.tools.features import client
from mlops_mcp.tools.features.models import JoinRequest, MaterializeRequest
from mlops_mcp.tools.features.registry import imported
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.tracing.span import Tracer

from ..features import teams
from .conftest import folder_of
from .servers import OWN_HOST, Program

pytestmark = pytest.mark.slow
KEYS: list[dict[str, Any]] = [
    {"driver_id": 1, "Route": "a"},
    {"driver_id": 2, "Route": "b"},
    {"driver_id": 9, "Route": "b"},
]
FILE = """project: team
provider: local
entity_key_serialization_version: 3
registry:
  registry_type: sql
  path: postgresql+psycopg://tester@/{database}?host={folder}
offline_store:
  type: postgres
  host: {folder}
  port: 5432
  database: {database}
  user: tester
  password: ""
  db_schema: public
online_store:
{online}"""
ONLINE = {
    "postgres": (
        "  type: postgres\n  host: {folder}\n  port: 5432\n  database: {database}\n  user: tester\n  password: ''\n"
    ),
    "redis": "  type: redis\n  connection_string: {redis}\n",
}


@pytest.fixture(scope="module", params=["postgres", "redis"])
def repository(
    request: pytest.FixtureRequest, databases: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """As the team has applied and materialized it, by Feast alone."""
    folder, kind = tmp_path_factory.mktemp("team"), str(request.param)
    address = databases(f"features_{kind}")
    named = {"database": f"features_{kind}", "folder": str(folder_of(address)), "redis": ""}
    if kind == "redis":
        server: Program = request.getfixturevalue("redis")
        named["redis"] = f"{OWN_HOST}:{server.port}"
    text = FILE.replace("{online}", ONLINE[kind])
    (folder / "feature_store.yaml").write_text(text.format(**named))
    filled(address)
    store = imported().FeatureStore(repo_path=str(folder))
    store.apply(definitions())
    store.materialize(teams.START - timedelta(days=1), teams.NOW, ["DriverStats"])
    return folder


def filled(address: str) -> None:
    from sqlalchemy import create_engine

    engine = create_engine(address.replace("postgresql:", "postgresql+psycopg:"))
    teams.drivers().to_sql("drivers", engine, index=False)
    engine.dispose()


def definitions() -> list[Any]:
    source = import_module("feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source")
    rows = source.PostgreSQLSource(
        name="drivers", query="SELECT * FROM drivers", timestamp_field="at", created_timestamp_column="made"
    )
    pushed = imported().PushSource(name="trips_of_now", batch_source=rows)
    return teams.driver_stats(pushed)


def opened(repository: Path, tmp_path: Path, **more: Any) -> Work:
    values = {"feast.repo_path": str(repository), **{f"feast.{name}": value for name, value in more.items()}}
    settings = load({"MLOPS_HOME": str(tmp_path / "home")}, values).settings
    return Work(settings, Tracer(lambda _: None))


@pytest.fixture
def work(repository: Path, tmp_path: Path) -> Work:
    return opened(repository, tmp_path)


def theirs(repository: Path) -> Any:
    return imported().FeatureStore(repo_path=str(repository))


def test_what_the_team_has_is_listed_and_described(work: Work) -> None:
    (view,) = client.list_features(work, "", 10, "").items
    assert (view.view, view.entity, view.online_until) == (
        "features:DriverStats", "driver_id, Route", teams.NOW.isoformat()
    )  # fmt: skip
    found = client.get_feature_statistics(work, "DriverStats", 10, "")
    assert (found.rows, found.keys, found.features[0].missing) == (12, 4, 1)


def test_online_values_are_those_that_feast_answers(work: Work, repository: Path) -> None:
    found = client.get_online_features(work, ["DriverStats"], KEYS)
    names = ["DriverStats:Rating", "DriverStats:trips"]
    expected = theirs(repository).get_online_features(features=names, entity_rows=KEYS).to_dict()
    assert [row.status for row in found.rows] == ["found", "found", "unknown"]
    for name in ("Rating", "trips"):
        assert [row.values[name] for row in found.rows] == expected[name]


def test_a_join_gives_what_feast_gives_in_the_order_of_the_rows(work: Work, repository: Path) -> None:
    asked = teams.asked().drop(columns="City")
    rows = save(work, pa.Table.from_pandas(asked, preserve_index=False), "rows", [], "test").handle
    made = client.get_historical_features(
        work, JoinRequest(dataset=rows, features=["DriverStats"], full_feature_names=False)
    )
    found = resolve(work, made.dataset).table().to_pandas()
    job = theirs(repository).get_historical_features(
        asked, ["DriverStats:Rating", "DriverStats:trips"], filter_by_created_timestamp=True
    )
    by_feast = job.to_df().sort_values("n").reset_index(drop=True)
    assert found["n"].tolist() == by_feast["n"].tolist()
    pd.testing.assert_frame_equal(found[["Rating", "trips"]], by_feast[["Rating", "trips"]], check_dtype=False)
    assert found["trips"].notna().sum() > 0


def test_materializing_needs_leave_and_writes_what_feast_reads(repository: Path, tmp_path: Path) -> None:
    wanted = MaterializeRequest(views=["DriverStats"], start="", end="")
    with pytest.raises(ToolFailure, match="Feast repository of a team"):
        client.materialize_features(opened(repository, tmp_path), wanted)
    made = client.materialize_features(opened(repository, tmp_path, write_repository=True), wanted)
    assert made.views[0].keys == 4
    view = theirs(repository).get_feature_view("DriverStats")
    assert view.materialization_intervals[-1][1].isoformat() == made.views[0].end


def test_what_is_pushed_is_what_feast_reads_and_what_is_older_is_left_out(repository: Path, tmp_path: Path) -> None:
    work = opened(repository, tmp_path, write_repository=True)
    row: dict[str, Any] = {"driver_id": 77, "Route": "a", "Rating": None, "trips": 9_007_199_254_740_993}
    made = client.push_features(work, "trips_of_now", [row, {**row, "driver_id": 78, "trips": None, "Rating": 0.5}])
    assert (made.views[0].written, made.views[0].new) == (2, 2)
    older = client.push_features(work, "trips_of_now", [{**row, "trips": 1, "at": "2024-01-01"}])
    assert (older.views[0].written, older.views[0].older) == (0, 1)
    keys = [{"driver_id": driver, "Route": "a"} for driver in (77, 78)]
    names = ["DriverStats:Rating", "DriverStats:trips"]
    found = theirs(repository).get_online_features(features=names, entity_rows=keys).to_dict()
    assert (found["trips"], found["Rating"]) == ([9_007_199_254_740_993, None], [None, 0.5])


def test_the_doctor_reads_each_store_and_names_it(work: Work, request: pytest.FixtureRequest) -> None:
    (feast,) = [answer for answer in deep_answers(work.settings) if answer.name == "feast"]
    assert feast.state == "ok", feast
    kind = "redis" if "redis" in request.node.name else "postgres"
    assert f"online {kind}" in feast.detail


@pytest.mark.parametrize("repository", ["redis"], indirect=True)
def test_a_redis_that_is_away_is_told_and_used_again_when_it_is_back(work: Work, redis: Program) -> None:
    assert client.get_online_features(work, ["DriverStats"], KEYS).rows[0].status == "found"
    redis.stop()
    with pytest.raises(Unavailable, match="the team's feature store cannot be used"):
        client.get_online_features(work, ["DriverStats"], KEYS)
    (feast,) = [answer for answer in deep_answers(work.settings) if answer.name == "feast"]
    assert (feast.state, feast.remedy) == ("failed", "check feast.repo_path (FEAST_REPO_PATH)"), feast
    redis.start()
    assert client.get_online_features(work, ["DriverStats"], KEYS).rows[0].status == "found"
