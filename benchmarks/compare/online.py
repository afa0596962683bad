"""Writing and reading online values beside Feast's own loop and a read of its table by hand."""

from __future__ import annotations

import sqlite3
import statistics
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from mlops_mcp.tools.data.store import save
from mlops_mcp.tools.features import client
from mlops_mcp.tools.features.models import MaterializeRequest
from mlops_mcp.tools.features.registry import empty_online, opened
from mlops_mcp.tools.runtime.work import Work

from .case import Case, Outcome, seconds
from .features import FEATURES, history, work_in

ALL = MaterializeRequest(views=["facts"], start="", end="")
READS = 1000


def materialize(keys: int, folder: Path) -> Outcome:
    """Feast's loop is given the same values as messages, without what it takes to find and make them."""
    work = _registered(folder, keys)
    ours_s = seconds(partial(client.materialize_features, work, ALL))
    ours = _table(work)
    empty_online(work.settings, "facts")
    beside_s = _by_feast(work, folder)
    return Outcome(ours_s, beside_s, ours == _table(work))


def read(folder: Path) -> Outcome:
    """Medians of one key at a time by one warm process; Feast is asked on what it has in memory."""
    work = _registered(folder, 100_000)
    client.materialize_features(work, ALL)
    ask = partial(client.get_online_features, work, ["facts"])
    with opened(work) as store:
        by_feast = partial(store.get_online_features, [f"facts:{name}" for name in FEATURES])
        ours = [ask([{"key": key}]).rows[0].values for key in range(20)]
        theirs = [by_feast(entity_rows=[{"key": key}]).to_dict() for key in range(20)]
        spent = [
            (seconds(partial(ask, [{"key": key}])), seconds(partial(by_feast, entity_rows=[{"key": key}])))
            for key in range(READS)
        ]
    equal = ours == [{name: each[name][0] for name in FEATURES} for each in theirs]
    mine = [each[0] for each in spent]
    p99_ms = statistics.quantiles(mine, n=100)[98] * 1e3
    return Outcome(statistics.median(mine), statistics.median(each[1] for each in spent), equal, f"p99 {p99_ms:.1f} ms")


def _registered(folder: Path, keys: int) -> Work:
    work = work_in(folder)
    values = save(work, history(keys, keys, every=True), "values", [], "benchmark")
    client.register_features(work, values.handle, "facts", "key", "at", list(FEATURES), "", None, "")
    return work


def _by_feast(work: Work, folder: Path) -> float:
    from feast.infra.online_stores.sqlite import SqliteOnlineStore
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

    kinds = {"a": "double_val", "b": "int64_val", "c": "double_val"}
    path = next((work.home / "datasets").glob("*.parquet"))
    batch: list[Any] = [
        (
            EntityKey(join_keys=["key"], entity_values=[Value(int64_val=row["key"])]),
            {name: Value(**{kind: row[name]}) for name, kind in kinds.items()},
            row["at"],
            None,
        )
        for row in pq.read_table(path).to_pylist()
    ]
    with opened(work) as store:
        target = store.get_feature_view("facts")
        return seconds(partial(SqliteOnlineStore().online_write_batch, store.config, target, batch, None))


def _table(work: Work) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(work.settings.feast_home / "online.db")) as database:
        return sorted(database.execute(f"select * from {work.settings.feast.project}_facts"))


CASES = [
    Case(
        "materialize",
        "the newest values of 1e5 keys, 3 features",
        "Feast's write loop alone",
        "5 s",
        partial(materialize, 100_000),
    ),
    Case("materialize few", "3 keys, 3 features", "Feast's write loop alone", "1.5 s", partial(materialize, 3)),
    Case("online read", "one key of 1e5, 3 features", "Feast in memory", "p50 3 ms, p99 15 ms", read),
]
