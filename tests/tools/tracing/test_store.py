"""The local trace store: written by several processes, read by any, and never above its size."""

from __future__ import annotations

import math
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from mlops_mcp.tools.paging import Position
from mlops_mcp.tools.tracing.ids import uuid7
from mlops_mcp.tools.tracing.opik.outbox import status, waits
from mlops_mcp.tools.tracing.score import Score
from mlops_mcp.tools.tracing.span import Carrier, Span, Tracer
from mlops_mcp.tools.tracing.store.destination import Destination
from mlops_mcp.tools.tracing.store.reader import TraceFilter, TraceReader
from mlops_mcp.tools.tracing.store.schema import SPANS
from mlops_mcp.tools.tracing.store.writer import MAX_QUEUED, TraceStore

OPIK = Destination("http://opik/api", "", "mlops-mcp")
WRITER = """
import sys
from pathlib import Path
from mlops_mcp.tools.tracing.span import Carrier, Tracer
from mlops_mcp.tools.tracing.store.writer import TraceStore

store = TraceStore(Path(sys.argv[1]), 64)
tracer = Tracer(store.put)
with tracer.span(sys.argv[2], parent=Carrier("shared", "")):
    for number in range(200):
        with tracer.span(f"{sys.argv[2]} {number}", input={"number": number}):
            pass
store.close()
assert store.dropped == 0
"""


def written(path: Path, *names: str, max_mb: int = 64) -> TraceStore:
    store = TraceStore(path, max_mb)
    tracer = Tracer(store.put)
    for name in names:
        with tracer.span(name):
            pass
    store.close()
    return store


def test_a_span_comes_back_as_it_was_written(tmp_path: Path) -> None:
    spans: list[Span] = []
    with Tracer(spans.append).span("call", "tool", input={"a": [1, None, "ü"]}, method="tools/call") as span:
        span.set_output({"rows": 3})
    store = TraceStore(tmp_path / "traces.db", 64)
    store.put(spans[0])
    store.close()
    assert TraceReader(tmp_path / "traces.db").spans(spans[0].trace_id) == spans


def test_two_processes_write_one_trace_at_the_same_time_and_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "traces.db"
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), name]) for name in ("left", "right")]
    assert [writer.wait(timeout=600) for writer in writers] == [0, 0]
    reader = TraceReader(path)
    assert len(reader.spans("shared")) == 402
    assert reader.count() == 1
    assert reader.traces(5)[0].spans == 402


def test_traces_are_listed_newest_first_and_found_by_name_and_by_failure(tmp_path: Path) -> None:
    path = tmp_path / "traces.db"
    store = TraceStore(path, 64)
    for number, name in enumerate(["train_model", "get_run", "train_model"]):
        span = Span(f"trace-{number}", "", name, "tool", start=float(number), end=number + 0.5)
        if number == 2:
            span.fail("boom")
        store.put(span)
    store.close()
    reader = TraceReader(path)
    assert [trace.trace_id for trace in reader.traces(10)] == ["trace-2", "trace-1", "trace-0"]
    assert [trace.trace_id for trace in reader.traces(1, Position(2.0, "trace-2"))] == ["trace-1"]
    assert [trace.trace_id for trace in reader.traces(10, which=TraceFilter("TRAIN"))] == ["trace-2", "trace-0"]
    assert [trace.trace_id for trace in reader.traces(10, which=TraceFilter(errors_only=True))] == ["trace-2"]
    assert [reader.count(), reader.count(TraceFilter("train")), reader.count(TraceFilter(errors_only=True))] == [
        3,
        2,
        1,
    ]


def test_a_store_that_nothing_was_written_to_is_an_empty_list(tmp_path: Path) -> None:
    reader = TraceReader(tmp_path / "traces.db")
    assert (reader.traces(10), reader.count(), reader.spans("x")) == ([], 0, [])


def test_the_file_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    written(tmp_path / "traces.db", "call")
    assert stat.S_IMODE((tmp_path / "traces.db").stat().st_mode) == 0o600


def test_the_oldest_spans_go_when_the_store_is_full(tmp_path: Path) -> None:
    path = tmp_path / "traces.db"
    for batch in range(12):
        store = TraceStore(path, max_mb=1)
        for number in range(60):
            store.put(
                Span(f"trace-{batch:02}-{number:02}", "", "big", "tool", start=batch * 100.0 + number, input="x" * 4096)
            )
        store.close()
    kept = [trace.trace_id for trace in TraceReader(path).traces(1000)]
    assert kept[0] == "trace-11-59"
    assert kept == sorted(kept, reverse=True)
    assert 100 < len(kept) < 400
    assert path.stat().st_size < 3e6


def test_a_writer_that_cannot_keep_up_drops_spans_and_counts_them(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store = TraceStore(tmp_path / "file" / "traces.db", 64)  # no folder, so nothing can be written
    span = Span("t", "", "call", "tool")
    for _ in range(MAX_QUEUED + 10):
        store.put(span)
    store.close()
    assert store.dropped == MAX_QUEUED + 10


def test_text_that_is_not_valid_unicode_does_not_end_the_writer(tmp_path: Path) -> None:
    path = tmp_path / "traces.db"
    store = TraceStore(path, 64)
    odd = Span("trace-1", "", "call \ud800", "tool")
    odd.fail("bad \udfff")
    odd.metadata = {"key": "\ud800"}
    store.put(odd)
    store.put(Span("trace-2", "", "next", "tool"))
    store.close()
    assert {trace.trace_id for trace in TraceReader(path).traces(10)} == {"trace-1", "trace-2"}


def test_a_span_put_after_closing_is_still_written_by_the_next_close(tmp_path: Path) -> None:
    path = tmp_path / "traces.db"
    store = written(path, "first")
    with Tracer(store.put).span("late", parent=Carrier("late-trace", "")):
        pass
    store.close()
    assert [span.name for span in TraceReader(path).spans("late-trace")] == ["late"]


def ship(path: Path, which: str) -> None:
    """Mark rows as a shipper would."""
    with closing(sqlite3.connect(path)) as db:
        for table in ("traces", "spans"):
            db.execute(f"update {table} set shipped=revision where {which}")
        db.commit()


def big(number: int) -> Span:
    return Span(uuid7(), "", f"{number:03}", "tool", start=float(number), end=number + 0.5, input="x" * 4096)


def names(path: Path) -> list[str]:
    return sorted(trace.name for trace in TraceReader(path).traces(1000))


def test_what_was_shipped_makes_room_before_what_was_not_and_all_of_it_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "traces.db"
    store = TraceStore(path, max_mb=1)
    for number in range(100):
        store.put(big(number))
    store.close()
    ship(path, "start >= 50")  # the older half still waits
    for number in range(100, 210):
        store = TraceStore(path, max_mb=1)
        store.put(big(number))
        store.close()
    found = status(path)
    kept = names(path)
    assert kept[:50] == [f"{number:03}" for number in range(50)]
    assert found.evicted_unshipped == 0
    assert len(kept) == 210 - found.evicted_shipped < 210
    for number in range(210, 300):
        store = TraceStore(path, max_mb=1)
        store.put(big(number))
        store.close()
    found = status(path)
    assert names(path)[-1] == "299"
    assert "000" not in names(path)
    # the row of its trace goes with every span
    assert found.evicted_unshipped == 2 * (300 - found.evicted_shipped - len(names(path)))


def test_dropped_spans_are_counted_for_other_processes_to_see(tmp_path: Path) -> None:
    path = tmp_path / "traces.db"
    store = TraceStore(path, 64)
    odd = Span(uuid7(), "", "odd", "tool")
    odd.output = {1, 2}
    store.put(odd)
    store.put(Span(uuid7(), "", "good", "tool"))
    store.close()
    assert names(path) == ["good"]
    assert (store.dropped, status(path).dropped) == (1, 1)


def test_a_span_that_no_column_takes_holds_no_other_up(tmp_path: Path) -> None:
    path = tmp_path / "traces.db"
    store = TraceStore(path, 64)
    for start in (1.0, math.nan, 2.0):
        store.put(Span(uuid7(), "", f"at {start}", "tool", start=start))
    store.close()
    assert names(path) == ["at 1.0", "at 2.0"]
    assert status(path).dropped == 1


def test_a_changed_span_waits_again(tmp_path: Path) -> None:
    path = tmp_path / "traces.db"
    span = Span(uuid7(), "", "call", "tool")
    for _ in range(2):
        store = TraceStore(path, 64)
        store.put(span)
        store.close()
        assert waits(path, OPIK)
        ship(path, "true")
        assert not waits(path, OPIK)
        span.close()


def test_a_start_that_arrives_late_does_not_undo_the_end(tmp_path: Path) -> None:
    path = tmp_path / "traces.db"
    span = Span("t", "", "call", "tool", end=2.0, start=1.0, status="ok")
    for each in (span, Span("t", "", "call", "tool", id=span.id, start=1.0)):
        store = TraceStore(path, 64)
        store.put(each)
        store.close()
    assert TraceReader(path).spans("t") == [span]


def test_a_span_is_kept_as_it_was_when_it_was_put(tmp_path: Path) -> None:
    store = TraceStore(tmp_path / "traces.db", 64)
    span = Span("t", "", "call", "tool")
    store.put(span)
    span.metadata["later"] = 1
    span.status = "error"
    store.close()
    (kept,) = TraceReader(tmp_path / "traces.db").spans("t")
    assert (kept.metadata, kept.status) == ({}, "started")


def test_scores_of_a_trace_and_of_its_spans_are_read_and_replaced_by_name(tmp_path: Path) -> None:
    path = tmp_path / "traces.db"
    store = TraceStore(path, 64)
    span = Span(uuid7(), "", "call", "tool")
    store.put(span)
    store.put_score(Score("trace", span.trace_id, "quality", 0.1))
    store.put_score(Score("trace", span.trace_id, "quality", 0.9, "better", "manual"))
    store.put_score(Score("span", span.id, "speed", 1.0))
    store.put_score(Score("span", uuid7(), "speed", 0.0))
    store.close()
    assert TraceReader(path).scores(span.trace_id) == [
        Score("trace", span.trace_id, "quality", 0.9, "better", "manual"),
        Score("span", span.id, "speed", 1.0),
    ]


def test_a_trace_without_a_root_keeps_its_name_when_its_file_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "traces.db"
    put_below(path, "first", 1.0)
    with closing(sqlite3.connect(path)) as old, old:
        old.execute("drop table summaries")
        old.execute("pragma user_version=1")
    put_below(path, "second", 2.0)
    assert [(trace.name, trace.spans) for trace in TraceReader(path).traces(10)] == [("first", 2)]


def put_below(path: Path, name: str, start: float) -> None:
    """A span of a trace whose root is another program's."""
    store = TraceStore(path, 64)
    store.put(Span("t", "above", name, "tool", start=start, end=start + 0.5))
    assert store.close()


def test_a_file_of_the_first_version_is_read_as_it_is_and_taken_over_by_the_first_write(tmp_path: Path) -> None:
    path = tmp_path / "traces.db"
    first = list(SPANS)[:12]
    with closing(sqlite3.connect(path)) as old:
        old.execute(f"create table spans({', '.join(f'{name} {SPANS[name]}' for name in first)})")
        old.execute(
            f"insert into spans values({', '.join('?' * 12)})",
            ("s", "t", "", "old", "tool", 1.0, 2.0, "ok", '{"a": 1}', None, "{}", ""),
        )
        old.commit()
    before = Span("t", "", "old", "tool", "s", 1.0, 2.0, "ok", {"a": 1})
    assert TraceReader(path).spans("t") == [before]
    assert TraceReader(path).scores("t") == []
    assert (status(path).waiting, waits(path, OPIK)) == (1, True)
    written(path, "new")
    assert TraceReader(path).spans("t") == [before]
    assert status(path).waiting == 4
