import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing
from typing import Any

import pytest

from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.lineage import Lineage
from mlops_mcp.tools.observability import client, spans
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.storage.errors import StorageError
from mlops_mcp.tools.tracing.ids import uuid7
from mlops_mcp.tools.tracing.score import Score
from mlops_mcp.tools.tracing.span import Span, Tracer
from mlops_mcp.tools.tracing.store.reader import TraceFilter
from mlops_mcp.tools.tracing.store.rows import span_of
from mlops_mcp.tools.tracing.store.writer import TraceStore
from mlops_mcp.tools.tracking.client import get_run, search_runs, start_run


def _record(work: Work) -> str:
    """One trace of a failing step inside a call, and one of a call that went well."""
    store = TraceStore(work.home / "traces.db", 10)
    tracer = Tracer(store.put)
    with pytest.raises(KeyError), tracer.span("train_model", "tool") as root, tracer.span("fit"):
        raise KeyError("column")
    with tracer.span("list_datasets", "tool", input={"limit": 2}):
        pass
    store.close()
    return f"trace:{root.trace_id}"


def test_a_trace_reads_as_a_tree_with_its_errors(work: Work) -> None:
    trace = _record(work)
    tree = client.get_trace(work, trace, "", "full", 10)
    assert [(span.depth, span.name, span.status) for span in tree.spans] == [
        (0, "train_model", "error"),
        (1, "fit", "error"),
    ]
    assert "KeyError" in tree.tree


def _stored(work: Work) -> TraceStore:
    return TraceStore(work.home / "traces.db", 10)


def test_a_line_of_the_tree_shows_model_tokens_scores_events_and_tags(work: Work) -> None:
    store = _stored(work)
    with Tracer(store.put).span("ask", "llm") as span:
        span.model, span.tags = "claude", ["nightly"]
        span.log_tokens(10, 5)
        span.add_event("cache_hit", {"key": "a"})
    store.put_score(Score("span", span.id, "quality", 0.5))
    store.close()
    tree = client.get_trace(work, span.trace_id, "", "short", 10)
    assert tree.spans == []
    for part in ("claude", "15 tokens", "quality 0.5", "*cache_hit", "#nightly"):
        assert part in tree.tree


def test_a_span_is_shown_with_what_is_below_it_and_nothing_else(work: Work) -> None:
    store = _stored(work)
    tracer = Tracer(store.put)
    with tracer.span("root") as root, tracer.span("middle") as middle, tracer.span("leaf"):
        pass
    with tracer.span("sibling", parent=root.carrier):
        pass
    store.close()
    tree = client.get_trace(work, root.trace_id, middle.id, "full", 10)
    assert [(span.depth, span.name) for span in tree.spans] == [(0, "middle"), (1, "leaf")]
    with pytest.raises(ToolFailure, match=middle.id):
        client.get_trace(work, root.trace_id, middle.id[:-2] + "zz", "short", 10)


def test_a_trace_of_large_values_in_full_detail_stays_within_its_bounds(work: Work) -> None:
    store = _stored(work)
    tracer = Tracer(store.put)
    with tracer.span("root") as root:
        for number in range(40):
            with tracer.span(f"step {number}", input={"text": "word " * 1500}) as span:
                span.set_output(False)
    store.close()
    tree = client.get_trace(work, root.trace_id, "", "full", 60)
    assert len(tree.model_dump_json()) < 60_000
    assert str(tree.spans[1].input).startswith('{"text": "word word')
    assert str(tree.spans[1].input).endswith("characters)")
    assert tree.spans[1].output is False
    alone = client.get_trace(work, root.trace_id, tree.spans[1].span, "full", 1)
    assert alone.spans[0].input == {"text": "word " * 1500}


def test_a_store_that_is_no_database_says_what_to_do(work: Work) -> None:
    work.home.mkdir(parents=True, exist_ok=True)
    (work.home / "traces.db").write_bytes(b"no database" * 1000)
    with pytest.raises(StorageError, match="Move the file away"):
        client.get_trace(work, "trace:a", "", "short", 10)
    with pytest.raises(StorageError, match="file is not a database"):
        spans.end_span(work, "01934567-89ab-7cde-8f01-23456789abcd", "ok", "", None, {})
    with pytest.raises(StorageError, match="file is not a database"):
        spans.start_span(work, "a", "", "", "", None, {})


def test_a_store_that_is_locked_is_not_to_be_moved_away(work: Work) -> None:
    _record(work)
    with closing(sqlite3.connect(work.settings.trace_store, isolation_level=None)) as other:
        other.execute("begin immediate")
        with pytest.raises(StorageError, match="Repeat it in a minute") as caught:
            spans.start_span(work, "a", "", "", "", None, {})
    assert "Move the file away" not in str(caught.value)


def test_traces_are_found_by_name_and_by_failure(work: Work) -> None:
    _record(work)
    assert client.search_traces(work, "", False, 10, "").total == 2
    assert [line.name for line in client.search_traces(work, "", True, 10, "").items] == ["train_model"]
    assert [line.name for line in client.search_traces(work, "list", False, 10, "").items] == ["list_datasets"]
    page = client.search_traces(work, "", False, 1, "")
    assert client.search_traces(work, "", False, 1, page.next_cursor or "").items[0].name == "train_model"


def _listed(work: Work, limit: int, asking: Span | None = None) -> list[str]:
    """The names of all traces, page by page; the calls that ask are traced as a server does it."""
    found: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        store = _stored(work)
        with Tracer(store.put).span("search_traces", "tool", announce=True, parent=asking.carrier if asking else None):
            store.flush(30)
            page = client.search_traces(work, "", False, limit, cursor)
        store.close()
        found += [line.name for line in page.items]
        cursor = page.next_cursor
        assert len(found) < 50
    return found


def test_pages_of_one_trace_end_and_repeat_nothing_though_each_call_adds_a_trace(work: Work) -> None:
    store = _stored(work)
    for number in range(5):
        with Tracer(store.put).span(f"call {number}", "tool"):
            pass
    store.close()
    assert _listed(work, 1) == [f"call {number}" for number in (4, 3, 2, 1, 0)]


def test_the_call_that_asks_is_not_shown_unless_its_trace_holds_more(work: Work) -> None:
    assert _listed(work, 10) == []
    assert _listed(work, 10) == ["search_traces"]  # the one before
    store = _stored(work)
    with Tracer(store.put).span("agent") as agent:
        store.put(agent)
    store.close()
    assert _listed(work, 10, agent)[0] == "agent"


def test_a_trace_is_named_by_its_root_though_another_span_began_earlier(work: Work) -> None:
    trace, root = uuid7(), uuid7()
    _put(
        work,
        Span(trace, root, "measured before", "llm", start=1.0, end=2.0, status="ok"),
        Span(trace, "", "root", "tool", root, start=3.0, end=4.0, status="ok"),
        Span(trace, "", "second root", "tool", start=5.0, end=9.0, status="error"),
    )
    (line,) = client.search_traces(work, "", False, 10, "").items
    assert (line.name, line.spans, line.errors, line.seconds) == ("root", 3, 1, 8.0)
    assert line.start.startswith("1970-01-01T00:00:01")


def test_the_counts_of_a_trace_follow_its_spans(work: Work) -> None:
    span = Span(uuid7(), "", "call", "tool", start=1.0, status="error")
    _put(work, span)
    assert [(line.spans, line.errors) for line in client.search_traces(work, "", False, 10, "").items] == [(1, 1)]
    span.end, span.status = 3.0, "ok"
    _put(work, span)
    (line,) = client.search_traces(work, "", False, 10, "").items
    assert (line.spans, line.errors, line.seconds) == (1, 0, 2.0)


def _put(work: Work, *spans: Span) -> None:
    store = _stored(work)
    for span in spans:
        store.put(span)
    store.close()


def test_what_was_asked_of_a_trace_is_all_that_is_read_of_it(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    trace, root = uuid7(), uuid7()
    children = [Span(trace, root, f"step {number}", "general", end=time.time()) for number in range(3000)]
    _put(work, Span(trace, "", "root", "tool", root, end=time.time()), *children)
    made: list[str] = []

    def counted(row: Mapping[str, Any]) -> Span:
        made.append(row["name"])
        return span_of(row)

    monkeypatch.setattr("mlops_mcp.tools.tracing.store.reader.span_of", counted)
    tree = client.get_trace(work, trace, "", "short", 10)
    assert (len(made), tree.omitted, tree.tree.splitlines()[0].split()[0]) == (10, 2991, "root")
    spans.log_feedback(work, trace, 1.0, "user", "")
    assert client.search_traces(work, "step 29", False, 10, "").items[0].spans == 3001
    assert len(made) == 10


def test_lists_are_read_from_indexes_alone(work: Work) -> None:
    """At 100,000 spans the table itself is hundreds of megabytes."""
    _record(work)
    with closing(sqlite3.connect(work.settings.trace_store)) as db:
        for which in (TraceFilter(), TraceFilter("x"), TraceFilter(errors_only=True)):
            query = f"select id from summaries t where {which.where} order by start desc, id desc limit 20"
            plan = " ".join(row[3] for row in db.execute(f"explain query plan {query}", which.values))
            assert "SCAN s" not in plan.replace("SCAN summaries", "")
            assert "TEMP B-TREE" not in plan
            assert "SEARCH s USING INDEX" not in plan
        plan = " ".join(
            row[3] for row in db.execute("explain query plan select id, parent_id from spans where trace_id='t'")
        )
        assert "USING COVERING INDEX spans_tree" in plan


def test_an_unknown_trace_or_handle_is_an_error_that_names_known_ones(work: Work) -> None:
    trace = _record(work)
    with pytest.raises(ToolFailure, match=r"trace:"):
        client.get_trace(work, trace[:-3] + "000", "", "short", 10)
    Lineage(work.home).record("model:credit/1", ["models:/m-1"], "register_model")
    with pytest.raises(ToolFailure, match=r"Did you mean model:credit/1"):
        client.get_lineage(work, "model:credit/2", 10)


def test_lineage_goes_both_ways_and_survives_a_circle(work: Work) -> None:
    lineage = Lineage(work.home)
    for child, parent in (("b", "a"), ("c", "b"), ("a", "c")):
        lineage.record(child, [parent], "test")
    graph = client.get_lineage(work, "b", 50)
    assert {edge.parent for edge in graph.ancestors} == {"a", "b", "c"}
    assert {edge.child for edge in graph.descendants} == {"a", "b", "c"}


@pytest.mark.slow
def test_a_run_of_plain_code_has_the_datasets_and_models_that_mlflow_has_noted(work: Work) -> None:
    import mlflow
    import pandas as pd
    from mlflow import sklearn
    from mlflow.data.pandas_dataset import from_pandas
    from sklearn.linear_model import LinearRegression

    start_run(work, "plain", "", {})
    mlflow.set_experiment("plain")
    frame = pd.DataFrame({"x": [1.0, 2.0, 3.0], "y": [2.0, 4.0, 6.0]})
    with mlflow.start_run() as made:
        rows = from_pandas(frame, name="loans", targets="y")
        mlflow.log_input(rows, "training")
        fitted = LinearRegression().fit(frame[["x"]], frame["y"])
        uri = sklearn.log_model(fitted, name="m", serialization_format="skops", pip_requirements=[]).model_uri
    run, noted = f"run:{made.info.run_id}", f"loans@{rows.digest}"
    graph = client.get_lineage(work, run, 10)
    assert [(edge.child, edge.parent, edge.by) for edge in graph.ancestors] == [(run, f"input:{noted}", "MLflow")]
    assert [(edge.child, edge.parent) for edge in graph.descendants] == [(uri, run)]
    shown = get_run(work, run)
    assert (shown.datasets, shown.models) == ([noted], [uri])
    found = search_runs(work, "plain", "dataset.name = 'loans'", "", 5, "").items
    assert [line.run for line in found] == [run]
    Lineage(work.home).record("model:ours/1", [run], "import_model")
    above = client.get_lineage(work, "model:ours/1", 10)
    assert [edge.parent for edge in above.ancestors] == [run, f"input:{noted}"]


def test_lineage_is_shown_without_what_mlflow_has_noted_where_it_is_away(without_backends: Work) -> None:
    Lineage(without_backends.home).record("models:/m-1", ["run:ab"], "train_model")
    graph = client.get_lineage(without_backends, "models:/m-1", 10)
    assert [edge.parent for edge in graph.ancestors] == ["run:ab"]
    assert "left out" in graph.notes[0]
