"""Rows are pushed to a team's online store through a push source of it: checked, counted, and read again."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mlops_mcp.config.load import load
from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.features import client
from mlops_mcp.tools.features.models import Pushed
from mlops_mcp.tools.features.registry import imported
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.tracing.span import Tracer

from . import teams

pytestmark = pytest.mark.slow
NOW = datetime.now(UTC).replace(microsecond=0)
BIG = 9_007_199_254_740_993
READING: dict[str, Any] = {
    "Site": "Zürich", "device": 1, "level": 0.5, "hits": BIG, "on": True, "checked": "2024-06-01T12:00:00Z",
    "at": NOW.isoformat(),
}  # fmt: skip


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two views with one push source, one without, and one that is not online."""
    folder = tmp_path_factory.mktemp("team") / "repo"
    (folder / "data").mkdir(parents=True)
    text = f"project: team\nprovider: local\nentity_key_serialization_version: 3\n{teams.BLOCKS['file']}"
    (folder / "feature_store.yaml").write_text(text)
    pd.DataFrame({**READING, "at": [NOW - timedelta(days=1)], "made": [NOW]}).to_parquet(folder / "data" / "r.parquet")
    with teams.inside(folder):
        imported().FeatureStore(repo_path=str(folder)).apply(definitions())
    return folder


def definitions() -> list[Any]:
    feast, types = imported(), import_module("feast.types")
    site = feast.Entity(name="site", join_keys=["Site"], value_type=feast.ValueType.STRING)
    device = feast.Entity(name="device", join_keys=["device"], value_type=feast.ValueType.INT64)
    batch = feast.FileSource(
        name="kept", path="data/r.parquet", timestamp_field="at", created_timestamp_column="made",
        field_mapping={"hits": "count"},
    )  # fmt: skip
    pushed = feast.PushSource(name="readings", batch_source=batch)
    kinds = {"level": types.Float32, "count": types.Int64, "on": types.Bool, "checked": types.UnixTimestamp}
    keys = [feast.Field(name="Site", dtype=types.String), feast.Field(name="device", dtype=types.Int64)]
    fields = [feast.Field(name=name, dtype=kind) for name, kind in kinds.items()]
    sensors = feast.FeatureView(name="Sensors", entities=[site, device], schema=[*keys, *fields], source=pushed)
    sites = feast.FeatureView(name="sites", entities=[site], schema=[keys[0], fields[1]], source=pushed)
    plain = feast.FeatureView(name="plain", entities=[site], schema=[keys[0], fields[0]], source=batch)
    hidden = feast.FeatureView(
        name="hidden", entities=[site], schema=[keys[0], fields[0]], online=False,
        source=feast.PushSource(name="unseen", batch_source=batch),
    )  # fmt: skip
    return [site, device, sensors, sites, plain, hidden]


@pytest.fixture
def repository(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "repo"))


@pytest.fixture
def work(repository: Path, tmp_path: Path) -> Work:
    return opened(repository, tmp_path)


def opened(repository: Path, tmp_path: Path, allowed: bool = True) -> Work:
    values = {"feast.repo_path": str(repository), "feast.write_repository": allowed}
    settings = load({"MLOPS_HOME": str(tmp_path / "home")}, values).settings
    return Work(settings, Tracer(lambda _: None))


def reading(**other: Any) -> dict[str, Any]:
    """A row by the names of the views."""
    row = {("count" if name == "hits" else name): value for name, value in READING.items()}
    return {**row, **other}


def counts(pushed: Pushed) -> dict[str, tuple[int, int, int, int]]:
    return {each.view: (each.written, each.new, each.replaced, each.older) for each in pushed.views}


def by_feast(repository: Path, view: str, names: list[str], **key: Any) -> list[Any]:
    with teams.inside(repository):
        store = imported().FeatureStore(repo_path=str(repository))
        found = store.get_online_features(features=[f"{view}:{name}" for name in names], entity_rows=[key]).to_dict()
    return [found[name][0] for name in names]


def test_what_is_pushed_is_what_feast_reads_in_each_view_of_the_source(work: Work, repository: Path) -> None:
    pushed = client.push_features(work, "readings", [reading(), reading(device=2, level=None, count=None)])
    assert counts(pushed) == {"features:Sensors": (2, 2, 0, 0), "features:sites": (1, 1, 0, 0)}
    names = ["level", "count", "on", "checked"]
    checked = datetime(2024, 6, 1, 12, tzinfo=UTC)
    assert by_feast(repository, "Sensors", names, Site="Zürich", device=1) == [0.5, BIG, True, checked]
    assert by_feast(repository, "Sensors", names, Site="Zürich", device=2) == [None, None, True, checked]
    (row,) = client.get_online_features(work, ["Sensors"], [{"Site": "Zürich", "device": 1}]).rows
    assert row.as_of == {"features:Sensors": NOW.isoformat()}


def test_newer_rows_replace_older_ones_and_never_the_other_way_round(work: Work, repository: Path) -> None:
    client.push_features(work, "readings", [reading(count=2)])
    earlier, later = ((NOW + timedelta(seconds=each)).isoformat() for each in (-5, 5))
    several = [reading(count=9, at=later), reading(count=1, at=earlier), reading(device=3, count=1, at=earlier)]
    pushed = client.push_features(work, "readings", several)
    assert counts(pushed) == {"features:Sensors": (2, 1, 1, 0), "features:sites": (1, 0, 1, 0)}
    again = client.push_features(work, "readings", [reading(count=1, at=earlier)])
    assert counts(again) == {"features:Sensors": (0, 0, 0, 1), "features:sites": (0, 0, 0, 1)}
    assert by_feast(repository, "Sensors", ["count"], Site="Zürich", device=1) == [9]


def test_a_row_without_a_time_is_of_now(work: Work) -> None:
    row = reading()
    del row["at"]
    client.push_features(work, "readings", [row])
    (found,) = client.get_online_features(work, ["sites"], [{"Site": "Zürich"}]).rows
    time = datetime.fromisoformat(found.as_of["features:sites"] or "")
    assert NOW <= time <= datetime.now(UTC)


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([], "there are no rows"),
        ([{"Site": "x"}], "row 2 has no device"),
        ([reading(device=None)], "row 2: device is null"),
        ([reading(device="1e3")], "row 2: device is int64"),
        ([reading(count=1.5)], "row 2: count is int64"),
        ([reading(count=2**63)], "row 2: count is int64"),
        ([reading(count=True)], "row 2: count is int64"),
        ([reading(on=1)], "row 2: on is bool"),
        ([reading(level="0.5")], "row 2: level is float32"),
        ([reading(level=1e300)], "row 2: level is float32"),
        ([reading(level=10**400)], "row 2: level is float32"),
        ([reading(level=float("nan"))], "row 2: level is float32"),
        ([reading(checked="soon")], "'soon' is not a time"),
        ([reading(at=12)], "row 2: at is not a time"),
        ([reading(at=(NOW + timedelta(days=1)).isoformat())], "lies ahead"),
        ([reading(), reading(count=4)], "row 3 says otherwise of the same key and time"),
        ([reading(level=None, count=None, on=None, checked=None)], "row 2 has no value"),
        ([reading(stray=1)], "unknown column 'stray'"),
    ],
)
def test_a_row_that_does_not_fit_is_refused_before_any_is_written(
    work: Work, repository: Path, rows: list[dict[str, Any]], reason: str
) -> None:
    before = (repository / "data" / "online.db").read_bytes()
    with pytest.raises(ToolFailure, match=reason):
        client.push_features(work, "readings", [*([reading(device=7)] if rows else []), *rows])
    assert (repository / "data" / "online.db").read_bytes() == before


def test_pushing_needs_leave_a_repository_and_a_source_of_an_online_view(
    work: Work, repository: Path, tmp_path: Path
) -> None:
    with pytest.raises(ToolFailure, match="Feast repository of a team"):
        client.push_features(opened(repository, tmp_path, allowed=False), "readings", [reading()])
    for source in ("unseen", "kept", ""):
        with pytest.raises(ToolFailure, match=rf"unknown push source '{source}'.*readings"):
            client.push_features(work, source, [reading()])
    own = Work(load({"MLOPS_HOME": str(tmp_path / "own")}, {}).settings, Tracer(lambda _: None))
    with pytest.raises(ToolFailure, match="no Feast repository with push sources"):
        client.push_features(own, "readings", [reading()])


def test_a_view_says_by_which_source_it_is_pushed_to(work: Work) -> None:
    notes = {view.view: view.notes for view in client.list_features(work, "", 10, "").items}
    assert notes["features:Sensors"] == ["push_features(source='readings') writes to it"]
    assert notes["features:plain"] == []
    assert notes["features:hidden"] == ["it is not meant for the online store"]
