"""What a row looks like on the wire, which rows go there, and under which id."""

from __future__ import annotations

import math
import time
from typing import Any

import pytest

from mlops_mcp.tools.tracing.ids import dated, seconds_of, uuid7
from mlops_mcp.tools.tracing.score import Score
from mlops_mcp.tools.tracing.span import Span
from mlops_mcp.tools.tracing.store.writer import TraceStore

from ..waiting import until
from .conftest import FAST, Site, with_opik
from .recorder import Recorder, within_a_day

HOUR = 3600.0
ODD: Any = {
    "nan": math.nan, "infinite": [math.inf, -math.inf], "nul": "a\x00b", "backslash": "\\u0000",
    "surrogate": "\ud800", "deep": {"a": [{"b": None}]}, "big": 2**70,
}  # fmt: skip


def ship(site: Site, **opik: object) -> None:
    with site.shipping(with_opik(site.settings, site.settings.opik.url, **opik)):
        until(site.delivered)


def old(hours: float) -> tuple[str, float]:
    at = time.time() - hours * HOUR
    return dated(uuid7(), at), at


def test_a_span_says_all_it_knows(site: Site, opik: Recorder) -> None:
    span = Span(uuid7(), "", "answer", "llm", end=time.time() + 1, model="claude", provider="anthropic")
    span.input, span.output, span.metadata = {"q": 1}, "text", {"events": [{"name": "cache"}]}
    span.tags, span.usage, span.thread = ["mcp", "mcp"], {"total_tokens": 3}, "session-1"
    span.status, span.error, span.error_type, span.error_trace = "error", "ValueError: no", "ValueError", "Traceback"
    site.put(span)
    ship(site, environment="staging", project_name="demo", workspace="team")
    (sent,) = opik.rows("spans").values()
    (trace,) = opik.rows("traces").values()
    assert sent["input"] == {"q": 1}
    assert sent["output"] == {"output": "text"}
    assert sent["metadata"] == {"events": [{"name": "cache"}], "status": "error"}
    assert (sent["type"], sent["model"], sent["provider"], sent["usage"]) == (
        "llm", "claude", "anthropic", {"total_tokens": 3},
    )  # fmt: skip
    assert sent["error_info"] == {
        "exception_type": "ValueError", "message": "ValueError: no", "traceback": "Traceback",
    }  # fmt: skip
    assert (trace["id"], trace["name"], trace["thread_id"], trace["tags"]) == (
        span.trace_id, "answer", "session-1", ["mcp"],
    )  # fmt: skip
    assert {row["environment"] for row in (sent, trace)} == {"staging"}
    assert {row["project_name"] for row in (sent, trace)} == {"demo"}
    assert {request.headers["comet-workspace"] for request in opik.requests} == {"team"}


def test_what_json_or_utf8_cannot_hold_is_replaced(site: Site, opik: Recorder) -> None:
    span = Span(uuid7(), "", "odd \x00 \udfff", "tool", end=time.time(), input=dict(ODD))
    span.usage = {"prompt_tokens": 1, "too_many": 2**40}
    site.put(span)
    ship(site)
    (sent,) = opik.rows("spans").values()
    assert sent["name"] == "odd  ?"
    assert sent["input"] == {
        "nan": "NaN", "infinite": ["Infinity", "-Infinity"], "nul": "a\ufffdb", "backslash": "\\u0000",
        "surrogate": "?", "deep": {"a": [{"b": None}]}, "big": 2**70,
    }  # fmt: skip
    assert sent["usage"] == {"prompt_tokens": 1}
    assert b"NaN," not in opik.requests[0].raw


def test_roots_of_one_trace_share_its_row(site: Site, opik: Recorder) -> None:
    trace, now = uuid7(), time.time()
    first = Span(trace, "", "first", "tool", start=now, end=now + 1, input={"n": 1}, output={"n": 1}, status="ok")
    second = Span(trace, "", "second", "tool", start=now + 2, end=now + 3, input={"n": 2}, output={"n": 2}, status="ok")
    site.put(second)
    site.put(first)
    ship(site)
    (row,) = opik.rows("traces").values()
    assert (row["name"], row["input"], row["output"]) == ("first", {"n": 1}, {"n": 2})
    assert row["start_time"] < row["end_time"]
    assert len(opik.rows("spans")) == 2


def test_the_trace_of_a_caller_is_never_written(site: Site, opik: Recorder) -> None:
    site.put(Span(uuid7(), "", "call", "tool", end=time.time(), foreign=True))
    site.put(Span(uuid7(), uuid7(), "call", "tool", end=time.time()))
    ship(site)
    assert len(opik.rows("spans")) == 2
    assert opik.rows("traces") == {}


def test_a_long_call_shows_as_started_and_later_as_ended(site: Site, opik: Recorder) -> None:
    span = Span(uuid7(), "", "train", "tool")
    with site.shipping():
        site.put(span)
        until(lambda: opik.rows("traces") and opik.rows("spans"))
        assert "end_time" not in opik.rows("spans")[span.id]
        assert opik.rows("spans")[span.id]["metadata"]["status"] == "started"
        span.close()
        site.put(span)
        until(lambda: "end_time" in opik.rows("spans")[span.id] and "end_time" in opik.rows("traces")[span.trace_id])
    assert opik.duplicates == 0


def test_a_short_call_goes_once(site: Site, opik: Recorder) -> None:
    span = Span(uuid7(), "", "short", "tool")
    with site.shipping():
        site.put(span)
        span.close()
        site.put(span)
        until(site.delivered)
    assert len(opik.accepted["spans", span.id]) == 1


def test_a_backlog_of_sixty_hours_is_accepted_with_its_nesting(site: Site, opik: Recorder) -> None:
    opik.refuses = within_a_day
    trace, at = old(60)
    parent, child = old(60)[0], old(59)[0]
    site.put(
        Span(trace, "", "outer", "tool", parent, start=at, end=at + 2),
        Span(trace, parent, "inner", "general", child, start=at + 1, end=at + 2),
    )
    store = TraceStore(site.store, 64)
    store.put_score(Score("trace", trace, "quality", 1.0))
    store.put_score(Score("span", child, "quality", 0.5, reason="short", category="style"))
    store.close()
    ship(site)
    (row,), spans = opik.rows("traces").values(), {span["name"]: span for span in opik.rows("spans").values()}
    assert row["metadata"]["opik.original_id"] == trace
    assert abs(seconds_of(row["id"]) - time.time()) < 60
    assert {span["trace_id"] for span in spans.values()} == {row["id"]}
    assert spans["inner"]["parent_span_id"] == spans["outer"]["id"]
    assert spans["outer"]["metadata"]["opik.original_id"] == parent
    assert row["start_time"][:13] == time.strftime("%Y-%m-%dT%H", time.gmtime(at))
    assert set(opik.rows("traces_scores")) == {f"{row['id']}:quality"}
    assert set(opik.rows("spans_scores")) == {f"{spans['inner']['id']}:quality"}
    assert site.status.parked == 0


def test_a_late_child_follows_its_trace_to_the_new_id(site: Site, opik: Recorder) -> None:
    trace, at = old(60)
    root = Span(trace, "", "outer", "tool", old(60)[0], start=at, end=at + 2)
    site.put(root)
    ship(site)
    site.put(Span(trace, root.id, "late", "general", end=time.time()))
    ship(site)
    late = next(span for span in opik.rows("spans").values() if span["name"] == "late")
    (row,) = opik.rows("traces").values()
    assert late["trace_id"] == row["id"] != trace
    assert late["parent_span_id"] in opik.rows("spans")


def test_what_opik_knows_under_an_old_id_is_updated_there(site: Site, opik: Recorder) -> None:
    trace, at = old(22.9)
    span = Span(trace, "", "long job", "tool", dated(uuid7(), at), start=at)
    with site.shipping():
        site.put(span)
        until(lambda: opik.rows("spans") and opik.rows("traces"))
    opik.refuses = lambda row: "" if "patched" in row else "too old"
    span.close()
    site.put(span)
    with site.shipping(timing=type(FAST)(poll_s=0.02, max_age_h=22)):
        until(site.delivered)
    assert opik.rows("spans")[span.id]["patched"]
    assert opik.rows("traces")[trace]["end_time"]
    assert site.status.parked == 0


def test_an_update_of_what_opik_has_lost_is_parked_and_holds_nothing_up(site: Site, opik: Recorder) -> None:
    trace, at = old(22.9)
    span = Span(trace, "", "long job", "tool", dated(uuid7(), at), start=at)
    with site.shipping():
        site.put(span)
        until(lambda: opik.rows("spans") and opik.rows("traces"))
    opik.missing = True
    span.close()
    site.put(span)
    site.calls(1)
    with site.shipping(timing=type(FAST)(poll_s=0.02, max_age_h=22)):
        until(site.delivered)
    assert site.status.parked == 2
    assert site.made.spans <= set(opik.rows("spans"))


@pytest.mark.parametrize(("rate", "least", "most"), [(0.0, 0, 0), (0.5, 25, 75), (1.0, 100, 100)])
def test_a_share_of_the_traces_is_shipped_whole(site: Site, opik: Recorder, rate: float, least: int, most: int) -> None:
    made = site.calls(100)
    ship(site, sampling_rate=rate)
    traces = set(opik.rows("traces"))
    assert least <= len(traces) <= most
    assert {span["trace_id"] for span in opik.rows("spans").values()} == traces
    assert len(opik.rows("traces_scores")) == len(traces)
    assert site.status.left_out == 4 * (len(made.traces) - len(traces))


def test_a_row_without_a_usable_id_is_parked_without_asking(site: Site, opik: Recorder) -> None:
    site.put(Span("trace-1", "", "call", "tool", end=time.time()))
    ship(site)
    assert opik.requests == []
    assert site.status.parked == 2


def test_a_large_backlog_goes_in_requests_of_bounded_size(site: Site, opik: Recorder) -> None:
    site.put(*(Span(uuid7(), "", "big", "tool", end=time.time(), input={"x": "y" * 60_000}) for _ in range(150)))
    ship(site)
    assert len(opik.rows("spans")) == 150
    assert max(len(request.raw) for request in opik.requests) < 4e6
    assert len(opik.requests) >= 6


def test_a_score_is_a_finite_number() -> None:
    with pytest.raises(ValueError, match="finite"):
        Score("trace", uuid7(), "quality", math.nan)
