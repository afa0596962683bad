import pytest

from mlops_mcp.tools.errors import ToolFailure, Unavailable
from mlops_mcp.tools.lineage import Lineage
from mlops_mcp.tools.observability import client, spans
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.tracing.score import Score
from mlops_mcp.tools.tracing.span import Tracer
from mlops_mcp.tools.tracing.store.writer import TraceStore


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
    tree = client.get_trace(work, span.trace_id, "", "brief", 10)
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
        client.get_trace(work, root.trace_id, middle.id[:-2] + "zz", "brief", 10)


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
    with pytest.raises(Unavailable, match="Move the file away"):
        client.get_trace(work, "trace:a", "", "brief", 10)
    with pytest.raises(Unavailable, match="cannot be read"):
        spans.end_span(work, "01934567-89ab-7cde-8f01-23456789abcd", "ok", "", None, {})
    with pytest.raises(Unavailable, match="could not be written"):
        spans.start_span(work, "a", "", "", "", None, {})


def test_traces_are_found_by_name_and_by_failure(work: Work) -> None:
    _record(work)
    assert client.search_traces(work, "", False, 10, "").total == 2
    assert [line.name for line in client.search_traces(work, "", True, 10, "").items] == ["train_model"]
    assert [line.name for line in client.search_traces(work, "list", False, 10, "").items] == ["list_datasets"]
    page = client.search_traces(work, "", False, 1, "")
    assert client.search_traces(work, "", False, 1, page.next_cursor or "").items[0].name == "train_model"


def test_an_unknown_trace_or_handle_is_an_error_that_names_known_ones(work: Work) -> None:
    trace = _record(work)
    with pytest.raises(ToolFailure, match=r"trace:"):
        client.get_trace(work, trace[:-3] + "000", "", "brief", 10)
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
