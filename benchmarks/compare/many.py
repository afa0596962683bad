"""What a team has after a year, listed and looked up: bounds alone, since nothing else keeps all of it."""

from __future__ import annotations

import sqlite3
import statistics
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

from mlops_mcp.config.load import load
from mlops_mcp.tools.data import client as data
from mlops_mcp.tools.data.models import DatasetInfo
from mlops_mcp.tools.data.store import datasets
from mlops_mcp.tools.lineage import Lineage
from mlops_mcp.tools.observability import client as observability
from mlops_mcp.tools.paging import Position
from mlops_mcp.tools.runtime.identity import Identity
from mlops_mcp.tools.runtime.jobs.backends import COLUMNS
from mlops_mcp.tools.runtime.jobs.launch import table_of
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.storage.database import transaction
from mlops_mcp.tools.tracing.ids import trace_of
from mlops_mcp.tools.tracing.span import Tracer
from mlops_mcp.tools.tracing.store.opening import opened

from .case import Case, Outcome, seconds

SPANS, OF_ONE_TRACE, OF_OTHERS = 100_000, 10_000, 10
JOBS, DATASETS, EDGES = 10_000, 1_000, 100_000
LONG = trace_of("f" * 32)
ROUNDS = 5


def traced(work: Work) -> None:
    """One trace of many spans, and many of few; each tenth trace has failed."""
    with opened(work.settings.trace_store) as connection, transaction(connection):
        statement = (
            "insert into spans(id, trace_id, parent_id, name, kind, start, end, status, input, output, metadata, error)"
            " values(?, ?, ?, ?, 'tool', ?, ?, ?, '{\"a\": 1}', '{\"b\": 2}', '{}', '')"
        )
        connection.executemany(statement, (_span(number) for number in range(SPANS)))


def _span(number: int) -> tuple[str, str, str, str, float, float, str]:
    long = number < OF_ONE_TRACE
    first = 0 if long else number - number % OF_OTHERS
    trace = LONG if long else trace_of(f"{first:032x}")
    failed = not long and number % 100 == 0
    parent = "" if number == first else f"{first:016x}"
    status = "error" if failed else "ok"
    return f"{number:016x}", trace, parent, f"tool {number % 50}", float(number), number + 0.5, status


def queued(work: Work) -> None:
    """Jobs that have ended, each with a request and a result of a few kilobytes."""
    table = table_of(work.settings)
    table.count()
    texts = dict.fromkeys((name for name, kind in COLUMNS.items() if kind == "text not null"), "x")
    row = texts | {"request": "{}" + " " * 3000, "result": "{}" + " " * 3000, "state": "done", "attempts": 1}
    with closing(sqlite3.connect(work.home / "jobs.db")) as database, database:
        names = [*row, "id", "created", "ended", "attempt"]
        statement = f"insert into jobs({', '.join(names)}) values({', '.join('?' * len(names))})"
        values = ((*row.values(), f"{number:020d}", float(number), number + 1.0, 1) for number in range(JOBS))
        database.executemany(statement, values)


def described(work: Work) -> None:
    datasets(work).mkdir(parents=True)
    for number in range(DATASETS):
        name = f"rows{number}@{number:012x}"
        info = DatasetInfo(
            dataset=f"dataset:{name}", rows=10, columns=[f"x{each}" for each in range(20)], source="rows.csv",
            created=f"2026-01-01T00:00:{number:08.5f}+00:00",
        )  # fmt: skip
        (datasets(work) / f"{name}.json").write_text(info.model_dump_json(), encoding="utf-8")


def related(work: Work) -> None:
    """One dataset that everything comes from, and a chain of fifty."""
    lineage = Lineage(work.home)
    lineage.record("dataset:chain", (f"dataset:from{number}" for number in range(50)), "derive")
    with closing(sqlite3.connect(work.home / "lineage.db")) as database, database:
        rows = ((f"run:{number}", "dataset:root", "train", float(number)) for number in range(EDGES // 2))
        database.executemany("insert into edges values(?, ?, ?, ?)", rows)
        rows = ((f"model:m/{number}", f"run:{number}", "register", float(number)) for number in range(EDGES // 2))
        database.executemany("insert into edges values(?, ?, ?, ?)", rows)


def _of_ann(work: Work) -> Work:
    return replace(work, by=Identity("ann", "write"))


def _pages_of_jobs(work: Work) -> list[object]:
    table = table_of(work.settings)
    return [table.recent(21, Position(JOBS / 2, "x")), table.recent(21, None, "failed"), table.count("done")]


Rows = Mapping[str, tuple[Callable[[Work], None], Callable[[Work], object]]]
ROWS: Rows = {
    "traces newest": (traced, lambda work: observability.search_traces(work, "", False, 20, "")),
    "traces by a rare name": (traced, lambda work: observability.search_traces(work, "nothing", False, 20, "")),
    "traces of one caller": (traced, lambda work: observability.search_traces(_of_ann(work), "", False, 20, "")),
    "traces failed": (traced, lambda work: observability.search_traces(work, "", True, 20, "")),
    "trace of 10,000 spans": (traced, lambda work: observability.get_trace(work, f"trace:{LONG}", "", "short", 100)),
    "jobs": (queued, _pages_of_jobs),
    "datasets": (described, lambda work: data.list_datasets(work, 20, "900")),
    "lineage of a root": (related, lambda work: observability.get_lineage(work, "dataset:root", 50)),
    "lineage of a leaf": (related, lambda work: observability.get_lineage(work, "model:m/9", 50)),
}


def measured(fill: Callable[[Work], None], ask: Callable[[Work], object], folder: Path) -> Outcome:
    work = Work(load({"MLOPS_HOME": str(folder)}).settings, Tracer(lambda _: None))
    fill(work)
    first = seconds(lambda: ask(work))
    return Outcome(
        statistics.median(seconds(lambda: ask(work)) for _ in range(ROUNDS)), None, None, f"first {first:.2f} s"
    )


def cases(rows: Rows, size: str) -> list[Case]:
    """One for each list: what fills the stores, and the question."""
    return [Case(f"many-{name}", size, "nothing", "0.3 s", partial(measured, *row)) for name, row in rows.items()]


CASES = cases(ROWS, f"{SPANS:,} spans, {JOBS:,} jobs, {DATASETS:,} datasets")
