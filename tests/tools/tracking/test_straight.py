"""Runs that are read from MLflow's tables are those that its own client finds, in its order and in pages."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops_mcp.config.load import load
from mlops_mcp.config.settings import Settings
from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.runtime.jobs.backends import backend_of
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.tracing.span import Tracer
from mlops_mcp.tools.tracking import client, comparison, measured
from mlops_mcp.tools.tracking.backend import mlflow_client, place_store
from mlops_mcp.tools.tracking.reading import conditions, database
from mlops_mcp.tools.tracking.reading.database import REVISION, connected
from mlops_mcp.tools.tracking.reading.mlflow import ThroughMlflow
from mlops_mcp.tools.tracking.reading.query import query_of
from mlops_mcp.tools.tracking.reading.source import Runs, runs_of
from mlops_mcp.tools.tracking.reading.straight import Straight
from mlops_mcp.tools.tracking.records import RunRecord

from .stores import CONTEXTS, METRICS, NUMBERS, PARAMS, TAGS, TEXTS, filled

pytestmark = pytest.mark.slow
EXAMPLES = 200
EXPERIMENTS = ("", "1", "2")


@dataclass(frozen=True)
class Store:
    """One store, read in both ways."""

    work: Work
    ids: list[str]
    straight: Straight
    client: Runs


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Generator[Store]:
    home = tmp_path_factory.mktemp("straight")
    uri = f"sqlite:///{home / 'mlflow.db'}"
    if request.param == "postgres":
        uri = made_database(request.getfixturevalue("postgres"))
    else:
        place_store(home / "mlflow.db")
    work = Work(load({"MLOPS_HOME": str(home), "MLFLOW_TRACKING_URI": uri}).settings, Tracer(lambda _span: None))
    through = ThroughMlflow(mlflow_client(work))
    through.experiments()
    ids = filled(work.settings.tracking_uri, home)
    with connected(work.settings) as found:
        assert found is not None
        yield Store(work, ids, Straight(found), through)


def made_database(address: str) -> str:
    import psycopg

    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("drop database if exists straight")
        connection.execute("create database straight")
    return address.replace("/postgres?", "/straight?")


def odd(keys: tuple[str, ...]) -> st.SearchStrategy[str]:
    return st.sampled_from(keys).map(lambda key: key if key.isidentifier() else f"`{key}`")


def quoted(text: str) -> str:
    return f'"{text}"' if "'" in text else f"'{text}'"


TEXT = st.sampled_from([*TEXTS, "a%", "%", "_", "%B", "A_b"]).filter(lambda text: not text.endswith("\\")).map(quoted)
COMPARED = st.sampled_from(("=", "!=", "LIKE", "ILIKE", "like"))
ORDERED = st.sampled_from(("=", "!=", "<", "<=", ">", ">="))
NUMBER = st.sampled_from([f"{value:.17g}".replace("+", "") for value in NUMBERS if value >= 0]) | st.just("1e400")


def joined(*parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(*parts).map(" ".join)


def attribute(name: str, *values: str) -> st.SearchStrategy[str]:
    return joined(st.just(name), COMPARED, st.sampled_from(values).map(quoted))


def clauses() -> st.SearchStrategy[str]:
    params, tags = odd(PARAMS).map("params.{}".format), odd(TAGS).map("tags.{}".format)
    return st.one_of(
        joined(odd(METRICS).map("metrics.{}".format), ORDERED, NUMBER),
        joined(params | tags, COMPARED, TEXT),
        joined(params | tags, st.sampled_from(("IS NULL", "IS NOT NULL"))),
        attribute("status", "FINISHED", "F%", "running"),
        attribute("attributes.run_name", "a", "A", "%", ""),
        attribute("user_id", "ann", "a%", "bob"),
        attribute("artifact_uri", "s3://bucket/A%", "s3%"),
        joined(st.sampled_from(("start_time", "end_time", "created")), ORDERED, st.sampled_from(("1000", "5e3", "0"))),
        joined(st.just("datasets.name"), COMPARED, st.sampled_from(("'rows'", "'R%'", "'ä'"))),
        joined(st.just("dataset.digest"), st.sampled_from(("IN", "NOT IN")), st.just("('d1', 'd2')")),
        joined(st.just("dataset.context"), COMPARED, st.sampled_from(CONTEXTS).map(quoted)),
    )


ORDERS = st.just("") | joined(
    st.one_of(
        odd(METRICS).map("metrics.{}".format),
        odd(PARAMS).map("params.{}".format),
        odd(TAGS).map("tags.{}".format),
        st.sampled_from(
            ("start_time", "end_time", "run_name", "status", "user_id", "run_id", "artifact_uri", "created")
        ),
    ),
    st.sampled_from(("", "asc", "DESC")),
).map(str.strip)


@given(
    experiment=st.sampled_from(EXPERIMENTS),
    where=st.lists(clauses(), max_size=3).map(" AND ".join),
    order=ORDERS,
    limit=st.sampled_from((3, 11, 100)),
)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_search_finds_what_the_client_finds_in_its_order_and_pages(
    store: Store, experiment: str, where: str, order: str, limit: int
) -> None:
    query = query_of(experiment, where, order)
    assert told(store.straight, query, limit) == told(store.client, query, 100)


def told(runs: Runs, query: Any, limit: int) -> list[str]:
    found = list[RunRecord]()
    cursor: str | None = ""
    while cursor is not None:
        part, cursor = runs.page(query, limit, cursor)
        assert len(part) <= limit
        found += part
    return [said(each) for each in found]


def said(run: RunRecord | None) -> str:
    return repr(run and vars(run) | {name: sorted_of(getattr(run, name)) for name in SETS})


SETS = ("params", "metrics", "tags", "datasets", "models")


def sorted_of(value: Any) -> list[Any]:
    return sorted(value.items() if isinstance(value, dict) else value, key=repr)


def test_runs_are_named_in_lists_of_ids(store: Store) -> None:
    for where in (f"run_id IN ('{store.ids[1]}', '{store.ids[2]}')", f"run_id NOT IN ('{store.ids[1]}')"):
        query = query_of("", where, "")
        assert told(store.straight, query, 5) == told(store.client, query, 100) != []


def test_a_comparison_with_a_list_that_takes_none_is_refused(store: Store) -> None:
    with pytest.raises(ToolFailure, match="takes one value"):
        store.straight.page(query_of("", "run_id != ('a', 'b')", ""), 5, "")


@pytest.mark.parametrize("where", ["metrics.auc LIKE '3'", "params.depth > '3'", "datasets.name > 'a'", "status > 'A'"])
def test_a_comparison_that_a_key_does_not_know_is_refused_by_both(store: Store, where: str) -> None:
    for runs in (store.straight, store.client):
        with pytest.raises(Exception, match=r"(?i)invalid comparator|expected numeric"):
            runs.page(query_of("", where, ""), 5, "")


def test_every_run_its_history_and_every_name_are_those_of_the_client(store: Store) -> None:
    straight, through = store.straight, store.client
    for run in [*store.ids, "0" * 32]:
        assert said(straight.found(run)) == said(through.found(run))
    for run in store.ids[:20]:
        assert repr(straight.history(run, "auc")) == repr(through.history(run, "auc"))
    assert list(straight.experiments().items()) == list(through.experiments().items())
    assert straight.experiment_name("2") == through.experiment_name("2") == "e2"
    for experiment in EXPERIMENTS:
        for kind, keys in (("metric", METRICS), ("parameter", PARAMS), ("tag", TAGS)):
            assert straight.keys(experiment, kind) == through.keys(experiment, kind)  # type: ignore[arg-type]
            for key in (*keys, "nope"):
                assert straight.has(experiment, kind, key) == through.has(experiment, kind, key)  # type: ignore[arg-type]


@pytest.mark.parametrize("order", ["", "metrics.auc desc", "params.note", "end_time desc"])
@pytest.mark.parametrize(
    "place", [(), (1,), (None, None, None, "x"), (True, 1, 1, "x"), (1e400, 1, 1, "x", 1), (2**70, "x")]
)
def test_what_is_no_cursor_of_the_search_is_refused(store: Store, order: str, place: tuple[Any, ...]) -> None:
    from mlops_mcp.tools.paging import encoded

    query = query_of("", "", order)
    for cursor in ("20", "x" * 500, encoded(["runs", query.digest, *place]), encoded(["jobs", 1.0, "x"])):
        with pytest.raises(ToolFailure, match="is not a cursor of this list"):
            store.straight.page(query, 2, cursor)


def test_the_cursor_of_one_search_is_none_of_another(store: Store) -> None:
    _, cursor = store.straight.page(query_of("", "", "metrics.auc desc"), 2, "")
    with pytest.raises(ToolFailure, match="is not a cursor of this list"):
        store.straight.page(query_of("", "", "metrics.loss desc"), 2, cursor or "")


def test_what_is_deleted_or_comes_between_two_pages_moves_none_of_the_others(store: Store, tmp_path: Path) -> None:
    work = Work(load({"MLOPS_HOME": str(tmp_path)}).settings, Tracer(lambda _span: None))
    made = [client.start_run(work, "paged", "", {}).run for _ in range(4)]
    for number, run in enumerate(made):
        client.log_run(work, run, {}, {"auc": number / 10}, 0, {})
    first = client.search_runs(work, "paged", "", "metrics.auc", 2, "")
    mlflow_client(work).delete_run(made[1].removeprefix("run:"))
    client.log_run(work, client.start_run(work, "paged", "", {}).run, {}, {"auc": -1.0}, 0, {})
    second = client.search_runs(work, "paged", "", "metrics.auc", 2, first.next_cursor or "")
    assert [line.run for line in (*first.items, *second.items)] == made


@pytest.mark.parametrize("store", ["postgres"], indirect=True)
def test_our_jobs_lie_beside_those_of_mlflow_in_one_database(store: Store, tmp_path: Path) -> None:
    address = store.work.settings.tracking_uri.replace("+psycopg", "")
    with backend_of(address, tmp_path / "jobs.db").open() as ours:
        assert ours.execute("select count(tool) from jobs").fetchone() == (0,)
    assert "job_name" in {name for (name,) in store.straight.database.rows(COLUMNS_OF_JOBS)}


COLUMNS_OF_JOBS = "select column_name from information_schema.columns where table_name='jobs' and table_schema='public'"


def test_the_tables_are_known_to_be_those_of_the_installed_mlflow() -> None:
    from mlflow.store.db import utils
    from mlflow.utils.search_utils import SearchUtils

    assert vars(utils)["_get_latest_schema_revision"]() == REVISION
    names = SearchUtils.VALID_SEARCH_ATTRIBUTE_KEYS | SearchUtils.VALID_ORDER_BY_ATTRIBUTE_KEYS
    assert {SearchUtils.translate_key_alias(name) for name in names} <= set(conditions.COLUMNS)


def test_a_store_of_another_version_and_one_with_tenants_are_read_by_mlflow(
    work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = client.start_run(work, "credit", "", {}).run
    with runs_of(work) as runs:
        assert isinstance(runs, Straight)
    for change in (("REVISION", "0"), None):
        with monkeypatch.context() as patched:
            if change:
                patched.setattr(database, *change)
            else:
                patched.setenv(database.TENANTS, "true")
            with contextlib.suppress(ToolFailure), runs_of(work) as runs:
                assert isinstance(runs, ThroughMlflow)
            if change:
                assert [line.run for line in client.search_runs(work, "credit", "", "", 5, "").items] == [run]


READING = """
import sys
from mlops_mcp.config.load import load
from mlops_mcp.resources.runs import experiments_card, recent_runs, run_card
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.tracing.span import Tracer
work = Work(load({"MLOPS_HOME": sys.argv[1]}).settings, Tracer(lambda _span: None))
assert recent_runs(work, "") == [sys.argv[2]]
assert "FINISHED" in run_card(work, f"run:{sys.argv[2]}")
assert not {"mlflow", "sqlalchemy", "pandas"} & set(sys.modules), "imported"
"""


def test_cards_are_read_without_mlflow(tmp_path: Path) -> None:
    work = Work(load({"MLOPS_HOME": str(tmp_path)}).settings, Tracer(lambda _span: None))
    run = client.start_run(work, "credit", "", {}).run
    client.end_run(work, run, "FINISHED")
    subprocess.run([sys.executable, "-c", READING, str(tmp_path), run.removeprefix("run:")], check=True)


@pytest.mark.parametrize(
    "read",
    [
        lambda work, run: client.get_run(work, run),
        lambda work, run: client.search_runs(work, "", "", "", 5, ""),
        lambda work, run: comparison.compare_runs(work, [run, run]),
        lambda work, run: measured.get_metric_history(work, run, "auc", 5, False),
    ],
)
def test_no_reading_changes_the_store(work: Work, read: Callable[[Work, str], object]) -> None:
    run = client.start_run(work, "credit", "", {}).run
    client.log_run(work, run, {}, {"auc": 0.5}, 0, {})
    with connected(work.settings) as found:
        assert found is not None
        with pytest.raises(database.Broken, match="readonly"):
            found.rows("delete from runs")
        with contextlib.suppress(ToolFailure):
            read(work, run)
        assert found.rows("select count(*) from runs") == [(1,)]


def test_a_damaged_store_is_told_in_words(work: Work, settings: Settings) -> None:
    client.start_run(work, "credit", "", {})
    with runs_of(work) as runs:
        assert isinstance(runs, Straight)
        runs.database.connection.close()
        with pytest.raises(database.Broken):
            runs.found("a")
    with pytest.raises(ToolFailure, match="cannot be used"), runs_of(work) as runs:
        raise database.Broken("disk I/O error")
