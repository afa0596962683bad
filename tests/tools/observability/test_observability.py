import pytest

from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.lineage import Lineage
from mlops_mcp.tools.observability import client
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.tracing.span import Tracer
from mlops_mcp.tools.tracing.store import TraceStore


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
    tree = client.get_trace(work, trace, "full", 10)
    assert [(span.depth, span.name, span.status) for span in tree.spans] == [
        (0, "train_model", "error"),
        (1, "fit", "error"),
    ]
    assert "KeyError" in tree.tree


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
        client.get_trace(work, trace[:-3] + "000", "brief", 10)
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
