"""The store stays below its size whichever table grows, and what is newest is what stays."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from mlops_mcp.tools.tracing.ids import uuid7
from mlops_mcp.tools.tracing.opik.outbox import Outbox, status
from mlops_mcp.tools.tracing.score import Score
from mlops_mcp.tools.tracing.span import Span
from mlops_mcp.tools.tracing.store.destination import Destination
from mlops_mcp.tools.tracing.store.opening import opened
from mlops_mcp.tools.tracing.store.reader import TraceReader
from mlops_mcp.tools.tracing.store.schema import TABLES
from mlops_mcp.tools.tracing.store.writer import TraceStore
from mlops_mcp.tools.tracing.store.writing import used_bytes

MIB = 1024 * 1024
LONG = "because " * 40
OLD = Span(uuid7(), "", "old", "tool", start=1.0, end=2.0)


def rows(path: Path, table: str) -> int:
    with closing(sqlite3.connect(path)) as db:
        return int(db.execute(f"select count(*) from {table}").fetchone()[0])


def used(path: Path) -> int:
    with closing(sqlite3.connect(path)) as db:
        return used_bytes(db)


def span(_: int) -> Span:
    return Span(uuid7(), "", "call", "tool", end=time.time(), input=LONG)


def child(_: int) -> Span:
    return Span(OLD.trace_id, uuid7(), "child", "general", end=time.time(), input=LONG)


def score_of_one_span(number: int) -> Score:
    return Score("span", OLD.id, f"score {number}", 0.5, LONG)


def score_of_a_foreign_trace(_: int) -> Score:
    return Score("trace", uuid7(), "quality", 0.5, LONG)


def fill(path: Path, make: Callable[[int], Span | Score], number: int) -> None:
    store = TraceStore(path, 1)
    for count in range(number):
        item = make(count)
        if isinstance(item, Span):
            store.put(item)
        else:
            store.put_score(item)
        if count % 1000 == 999:
            store.flush(60)
    assert store.close()


@pytest.mark.parametrize("make", [span, child, score_of_one_span, score_of_a_foreign_trace])
def test_whatever_grows_the_store_stays_below_its_size_and_takes_new_spans(
    tmp_path: Path, make: Callable[[int], Span | Score]
) -> None:
    path = tmp_path / "traces.db"
    fill(path, lambda _: OLD, 1)
    fill(path, make, 5000)
    assert used(path) <= MIB
    new = [Span(uuid7(), "", f"new {number}", "tool", end=time.time()) for number in range(20)]
    fill(path, lambda number: new[number], len(new))
    reader = TraceReader(path)
    assert [each for each in new if reader.span(each.id) is None] == []
    assert used(path) <= MIB
    assert path.stat().st_size < 4 * MIB


def test_ids_that_were_given_anew_go_with_their_age_like_everything_else(tmp_path: Path) -> None:
    path = tmp_path / "traces.db"
    with opened(path) as db, db:
        ids = [(f"{number:036}", f"{number:036}", float(number)) for number in range(12_000)]
        db.executemany("insert into reminted values(?, ?, ?)", ids)
    assert used(path) > MIB
    new = Span(uuid7(), "", "new", "tool", end=time.time())
    fill(path, lambda _: new, 1)
    assert used(path) <= MIB
    assert TraceReader(path).span(new.id) is not None
    assert 0 < rows(path, "reminted") < 12_000


def test_the_scores_and_the_line_of_a_trace_go_with_its_last_span(tmp_path: Path) -> None:
    path = tmp_path / "traces.db"
    fill(path, lambda _: OLD, 1)
    fill(path, lambda number: Score("span" if number else "trace", OLD.id if number else OLD.trace_id, "q", 1.0), 2)
    fill(path, span, 3000)
    assert TraceReader(path).scores(OLD.trace_id) == []
    assert TraceReader(path).span(OLD.id) is None
    assert rows(path, "summaries") == rows(path, "traces") == TraceReader(path).count() == rows(path, "spans")
    found = status(path)
    assert found.evicted_unshipped == 2 * (3001 - rows(path, "spans")) + 2


def test_what_is_noted_of_shipping_does_not_grow_with_it(tmp_path: Path) -> None:
    path = tmp_path / "traces.db"
    with opened(path) as db:
        for _ in range(3):
            outbox = Outbox(db, 3600, Destination("http://opik/api", "", "demo"))
            outbox.failed("no answer")
            outbox.accepted("spans", [])
    assert (rows(path, "destinations"), rows(path, "counts")) == (1, 1)


def test_every_table_that_is_kept_has_a_bound(tmp_path: Path) -> None:
    """A new table needs a rule for what goes, and a test above."""
    with opened(tmp_path / "traces.db") as db:
        tables = {row[0] for row in db.execute("select name from sqlite_master where type='table'")}
    assert tables == {*TABLES, "summaries", "reminted", "counts", "destinations"}
