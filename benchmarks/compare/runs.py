"""Searches for runs: a hundred thousand of them, ordered by a metric, beside MLflow's own client on a tenth of them.

The client takes minutes for all of them, so that it is asked for 10,000; both answer for those as well.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from mlops_mcp.config.load import load
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.tracing.span import Tracer
from mlops_mcp.tools.tracking import client
from mlops_mcp.tools.tracking.backend import mlflow_client, place_store

from .case import Case, Outcome, in_turn, seconds

RUNS, FEW = 100_000, 10_000
METRICS = ("accuracy", "auc", "brier", "f1", "loss")
PARAMS = ("depth", "l2", "learning_rate", "seed", "trees")
TAGS = ("mlflow.runName", "mlflow.user", "team")
SEARCHES = {
    "best": ("", "metrics.auc desc"),
    "newest": ("", ""),
    "filtered": ("metrics.loss < 0.2 and params.depth = '3' and tags.team = 'v7'", "metrics.auc desc"),
}


def filled(folder: Path, runs: int) -> Work:
    """An untouched store of so many runs of one experiment."""
    store = folder / str(runs) / "mlflow.db"
    place_store(store)
    with closing(sqlite3.connect(store)) as database, database:
        database.execute("pragma synchronous=off")
        database.execute("insert into experiments values (1, 'e', '/nowhere', 'active', 1, 1, 'default')")
        for table, rows in _tables(runs).items():
            first = next(rows)
            statement = f"insert into {table} ({', '.join(first)}) values ({', '.join('?' * len(first))})"
            database.execute(statement, tuple(first.values()))
            database.executemany(statement, (tuple(row.values()) for row in rows))
    return Work(load({"MLOPS_HOME": str(store.parent)}).settings, Tracer(lambda _: None))


def _tables(runs: int) -> dict[str, Iterator[dict[str, Any]]]:
    chosen = random.Random(0)
    ids = [f"{chosen.getrandbits(128):032x}" for _ in range(runs)]
    every = list(enumerate(ids))
    measured = {"timestamp": 1, "step": 0, "is_nan": 0}
    return {
        "runs": (_run(number, run) for number, run in every),
        "latest_metrics": (
            {"key": key, "value": chosen.random(), "run_uuid": run} | measured for run in ids for key in METRICS
        ),
        "params": ({"key": key, "value": str(chosen.randint(0, 9)), "run_uuid": run} for run in ids for key in PARAMS),
        "tags": ({"key": key, "value": f"v{number % 20}", "run_uuid": run} for number, run in every for key in TAGS),
    }


def _run(number: int, run: str) -> dict[str, Any]:
    return {
        "run_uuid": run, "name": f"run-{number}", "source_type": "LOCAL", "user_id": "ann", "status": "FINISHED",
        "start_time": 1_700_000_000_000 + number, "end_time": 1_700_000_001_000 + number, "lifecycle_stage": "active",
        "artifact_uri": f"/nowhere/{run}/artifacts", "experiment_id": 1,
    }  # fmt: skip


def _run_search(where: str, order: str, folder: Path) -> Outcome:
    few, many = filled(folder, FEW), filled(folder, RUNS)
    mlflow, answers = mlflow_client(few), dict[str, list[str]]()

    def ours() -> None:
        answers["ours"] = [line.run for line in client.search_runs(few, "", where, order, 10, "").items]

    def beside() -> None:
        found = mlflow.search_runs(["1"], where, max_results=10, order_by=[order] if order else None)
        answers["beside"] = [f"run:{run.info.run_id}" for run in found]

    ours_s, beside_s = in_turn(ours, beside)
    first_s = seconds(lambda: client.search_runs(many, "", where, order, 10, ""))
    note = f"{RUNS:,} runs: {first_s:.2f} s"
    return Outcome(ours_s, beside_s, answers["ours"] == answers["beside"], note)


CASES = [
    Case(f"runs {name}", f"10 of {FEW:,} runs", "MLflow's client", f"0.5 s of {RUNS:,}", partial(_run_search, *search))
    for name, search in SEARCHES.items()
]
