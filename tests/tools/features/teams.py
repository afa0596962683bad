"""A Feast repository as a team has made it, by Feast's own API."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd

from mlops_mcp.tools.features.registry import imported

START = datetime(2024, 1, 1, tzinfo=UTC)
NOW = datetime.now(UTC).replace(microsecond=0)
BLOCKS = {
    "file": "registry: data/registry.db\nonline_store:\n  type: sqlite\n  path: data/online.db\n",
    "sql": (
        "registry:\n  registry_type: sql\n  path: sqlite:///{folder}/registry.sqlite\n"
        "online_store:\n  type: sqlite\n  path: data/online.db\noffline_store:\n  type: duckdb\n"
    ),
}


def drivers() -> pd.DataFrame:
    """Three versions of each of two drivers on two routes, the newest of them today, one with a gap."""
    rows = [
        {
            "driver_id": driver,
            "Route": route,
            "at": when,
            "made": when + timedelta(hours=1),
            "Rating": None if (driver, route, number) == (2, "b", 1) else driver + number / 10,
            "trips": driver * 100 + number,
        }
        for driver in (1, 2)
        for route in ("a", "b")
        for number, when in enumerate((START, START + timedelta(days=10), NOW - timedelta(days=1)))
    ]
    return pd.DataFrame(rows)


def cities() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "City": ["Zürich", "Bern"],
            "at": [START, START],
            "people": [430_000, 9_007_199_254_740_993],
            "big": [True, False],
        }
    )


def asked() -> pd.DataFrame:
    """Rows of the caller: two drivers known, one too early, one unknown, twice the same row."""
    first, later = START + timedelta(days=1), START + timedelta(days=11)
    return pd.DataFrame(
        {
            "n": [0, 1, 2, 3, 4, 5],
            "driver_id": [1, 2, 1, 9, 2, 2],
            "Route": ["a", "b", "b", "a", "b", "b"],
            "City": ["Zürich", "Bern", "Basel", "Bern", "Bern", "Bern"],
            "event_timestamp": [later, first, START - timedelta(days=1), later, later, later],
        }
    )


def made(folder: Path, registry: str) -> Path:
    """A repository in a folder, applied and materialized."""
    folder.mkdir(parents=True)
    (folder / "data").mkdir()
    drivers().to_parquet(folder / "data" / "drivers.parquet")
    cities().to_parquet(folder / "data" / "cities.parquet")
    text = f"project: team\nprovider: local\nentity_key_serialization_version: 3\n{BLOCKS[registry]}"
    (folder / "feature_store.yaml").write_text(text.replace("{folder}", str(folder)))
    with inside(folder):
        store = imported().FeatureStore(repo_path=str(folder))
        store.apply(definitions())
        store.materialize(START - timedelta(days=1), NOW, ["DriverStats"])
    return folder


@contextmanager
def inside(folder: Path) -> Generator[None]:
    """Feast's own commands run in the folder of a repository."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def driver_stats(source: Any) -> list[Any]:
    """Two entities and a view of them."""
    feast, types = imported(), import_module("feast.types")
    driver = feast.Entity(name="driver", join_keys=["driver_id"], value_type=feast.ValueType.INT64)
    route = feast.Entity(name="route", join_keys=["Route"], value_type=feast.ValueType.STRING)
    stats = feast.FeatureView(
        name="DriverStats",
        entities=[driver, route],
        ttl=timedelta(days=30),
        schema=[
            feast.Field(name="driver_id", dtype=types.Int64),
            feast.Field(name="Route", dtype=types.String),
            feast.Field(name="Rating", dtype=types.Float64, description="mean of a day"),
            feast.Field(name="trips", dtype=types.Int64),
        ],
        source=source,
    )
    return [driver, route, stats]


def definitions() -> list[Any]:
    feast, types = imported(), import_module("feast.types")
    rows = feast.FileSource(path="data/drivers.parquet", timestamp_field="at", created_timestamp_column="made")
    driver, route, stats = driver_stats(rows)
    city = feast.Entity(name="city", join_keys=["City"], value_type=feast.ValueType.STRING)
    places = feast.FeatureView(
        name="places",
        entities=[city],
        schema=[
            feast.Field(name="City", dtype=types.String),
            feast.Field(name="people", dtype=types.Int64),
            feast.Field(name="big", dtype=types.Bool),
        ],
        source=feast.FileSource(path="data/cities.parquet", timestamp_field="at"),
    )
    activity = feast.FeatureService(name="activity", features=[stats[["Rating"]], places])
    renamed = places.with_join_key_map({"City": "home"}).with_name("home_city")
    moved = feast.FeatureService(name="moved", features=[renamed])
    return [driver, route, city, stats, places, activity, moved]
