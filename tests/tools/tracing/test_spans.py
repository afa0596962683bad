"""Spans: how they nest, what they note, and identifiers in the order of time."""

from __future__ import annotations

import asyncio
import uuid
from itertools import pairwise

import pytest

from mlops_mcp.tools.tracing.ids import uuid7
from mlops_mcp.tools.tracing.span import MAX_ERROR, MAX_EVENTS, MAX_NAME, Carrier, Span, Tracer, current, under


@pytest.fixture
def spans() -> list[Span]:
    return []


@pytest.fixture
def tracer(spans: list[Span]) -> Tracer:
    return Tracer(spans.append)


def test_identifiers_are_version_7_and_carry_the_time_in_order() -> None:
    made = [uuid7() for _ in range(5000)]
    parsed = [uuid.UUID(text) for text in made]
    assert {(each.version, each.variant) for each in parsed} == {(7, uuid.RFC_4122)}
    assert len(set(made)) == len(made)
    assert all(earlier[:13] <= later[:13] for earlier, later in pairwise(made))


def test_a_span_inside_another_is_its_child_in_the_same_trace(tracer: Tracer, spans: list[Span]) -> None:
    with tracer.span("outer") as outer, tracer.span("inner", rows=3):
        pass
    inner = spans[0]
    assert (inner.trace_id, inner.parent_id, inner.metadata) == (outer.trace_id, outer.id, {"rows": 3})
    assert outer.parent_id == ""
    assert [span.status for span in spans] == ["ok", "ok"]
    assert current() == Carrier()


async def test_tasks_that_run_at_the_same_time_do_not_mix_their_spans(tracer: Tracer, spans: list[Span]) -> None:
    started = asyncio.Barrier(20)

    async def work(number: int) -> None:
        with tracer.span(f"outer {number}"):
            await started.wait()
            with tracer.span(f"inner {number}"):
                await started.wait()

    await asyncio.gather(*(work(number) for number in range(20)))
    by_name = {span.name: span for span in spans}
    for number in range(20):
        assert by_name[f"inner {number}"].parent_id == by_name[f"outer {number}"].id


def test_a_carrier_hangs_spans_under_a_span_of_another_process(tracer: Tracer, spans: list[Span]) -> None:
    with under(Carrier("trace-1", "span-1")), tracer.span("here"):
        pass
    assert (spans[0].trace_id, spans[0].parent_id) == ("trace-1", "span-1")


def test_an_exception_marks_its_span_and_goes_on_with_secrets_removed(tracer: Tracer, spans: list[Span]) -> None:
    with pytest.raises(ValueError, match="hunter2"), tracer.span("bad"):
        raise ValueError("no login at postgresql://u:hunter2@db")
    assert spans[0].status == "error"
    assert spans[0].error == "ValueError: no login at postgresql://u:[redacted]@db"


def test_a_secret_that_the_cut_of_an_error_or_a_traceback_splits_does_not_show() -> None:
    key = "ghp_Abcdef0123456789Abcdef0123456789"
    span = Span("t", "", "call", "tool")
    span.crash("ValueError", f"{'x' * (MAX_ERROR - 25)} {key}", f"{key} {'y' * (MAX_ERROR - 10)}")
    assert "ghp_" not in span.error
    assert "0123456789" not in span.error_trace
    assert len(span.error) <= MAX_ERROR
    assert len(span.error_trace) <= MAX_ERROR


def test_a_name_of_any_length_is_cut_and_holds_no_secret(tracer: Tracer, spans: list[Span]) -> None:
    with tracer.span("password=hunter2secret " + "xxx " * 2000):
        pass
    assert spans[0].name.startswith("[redacted] xxx")
    assert len(spans[0].name) <= MAX_NAME


def test_events_are_kept_up_to_a_bound_and_without_secrets() -> None:
    span = Span("t", "", "call", "tool")
    for number in range(MAX_EVENTS + 5):
        span.add_event(f"step {number}", {"token": "abc", "loss": 0.5})
    events = span.metadata["events"]
    assert len(events) == MAX_EVENTS
    assert (events[1]["name"], events[1]["token"], events[1]["loss"]) == ("step 1", "[redacted]", 0.5)
    assert events[0]["at"] >= span.start


def test_what_is_said_of_the_outcome_and_the_tokens_stays(tracer: Tracer, spans: list[Span]) -> None:
    with tracer.span("call", "llm") as span:
        span.log_tokens(12, 30)
        span.set_status("error", "refused: api_key=hunter2secret")
    assert spans[0].usage == {"prompt_tokens": 12, "completion_tokens": 30, "total_tokens": 42}
    assert (spans[0].status, spans[0].error) == ("error", "refused: [redacted]")


async def test_work_that_is_cancelled_is_not_called_an_error(tracer: Tracer, spans: list[Span]) -> None:
    entered = asyncio.Event()

    async def work() -> None:
        with tracer.span("long"):
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await entered.wait()
    task.cancel()
    await asyncio.wait([task])
    assert [span.status for span in spans] == ["cancelled"]


def test_a_long_span_is_reported_when_it_starts_and_when_it_ends() -> None:
    seen: list[tuple[str, float]] = []
    with Tracer(lambda span: seen.append((span.status, span.end))).span("job", announce=True):
        pass
    assert [status for status, _ in seen] == ["started", "ok"]
    assert seen[0][1] == 0


def test_metadata_only_keeps_neither_input_nor_output(spans: list[Span]) -> None:
    with Tracer(spans.append, "metadata").span("call", input={"rows": 1}, method="tools/call") as span:
        span.set_output({"secret": 1})
    assert (spans[0].input, spans[0].output, spans[0].metadata) == (None, None, {"method": "tools/call"})


def test_nothing_is_recorded_when_tracing_is_off(spans: list[Span]) -> None:
    with Tracer(spans.append, "off").span("call", announce=True):
        pass
    assert spans == []
