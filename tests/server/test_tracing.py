"""Every request that does work is one span, below the caller's own if it names one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from mcp import Client, MCPError

from mlops_mcp.config.settings import Settings
from mlops_mcp.server.app import create_server
from mlops_mcp.tools.spec import Injected, Toolset, writes
from mlops_mcp.tools.tracing.span import Span
from mlops_mcp.tools.tracing.store.reader import TraceReader

TRACE = "01934567-89ab-7cde-8f01-23456789abcd"
PARENT = "01934567-89ab-7cde-8f01-23456789abce"


async def spans_of(settings: Settings, count: int = 1) -> list[Span]:
    reader = TraceReader(settings.home / "traces.db")
    async with asyncio.timeout(600):
        while True:
            traces = reader.traces(50)
            spans = [span for trace in traces for span in reader.spans(trace.trace_id)]
            if len(traces) >= count and all(span.end for span in spans):
                return spans
            await asyncio.sleep(0.02)


async def test_a_refused_call_is_a_failed_span_with_what_was_asked_and_said(client: Client, settings: Settings) -> None:
    await client.call_tool("get_trace", {"tracs": "x", "api_key": "hunter2"})
    (span,) = await spans_of(settings)
    assert (span.name, span.kind, span.status, span.parent_id) == ("get_trace", "tool", "error", "")
    assert span.input == {"tracs": "x", "api_key": "[redacted]"}
    assert span.error.startswith("unknown argument of get_trace 'tracs'")


async def test_a_call_goes_under_the_opik_span_that_the_caller_names(client: Client, settings: Settings) -> None:
    meta: Any = {"opik_trace_id": TRACE, "opik_parent_span_id": PARENT}
    await client.call_tool("list_jobs", {}, meta=meta)
    (span,) = await spans_of(settings)
    assert (span.trace_id, span.parent_id, span.status) == (TRACE, PARENT, "ok")


async def test_calls_of_one_w3c_trace_share_one_trace_whose_id_opik_takes(client: Client, settings: Settings) -> None:
    for span_id in ("00f067aa0ba902b7", "00f067aa0ba902b8"):
        meta: Any = {"traceparent": f"00-4bf92f3577b34da6a3ce929d0e0e4736-{span_id}-01"}
        await client.call_tool("list_jobs", {}, meta=meta)
    reader = TraceReader(settings.home / "traces.db")
    async with asyncio.timeout(600):
        while len(spans := await spans_of(settings)) < 2:
            await asyncio.sleep(0.02)
    assert {span.trace_id for span in spans} == {"4bf92f35-77b3-7da6-83ce-929d0e0e4736"}
    assert reader.count() == 1


@pytest.mark.parametrize(
    "meta",
    [{"traceparent": "garbage"}, {"traceparent": 5}, {"opik_trace_id": {"a": 1}}, {"opik_trace_id": "../../x"}],
)
async def test_a_caller_that_names_no_usable_span_starts_a_trace_of_its_own(
    client: Client, settings: Settings, meta: Any
) -> None:
    result = await client.call_tool("list_jobs", {}, meta=meta)
    assert not result.is_error
    (span,) = await spans_of(settings)
    assert span.parent_id == ""
    assert span.trace_id[14] == "7"


async def test_listing_leaves_no_trace(client: Client, settings: Settings) -> None:
    await client.list_tools()
    await client.call_tool("list_jobs", {})
    assert [span.name for span in await spans_of(settings)] == ["list_jobs"]


async def test_a_crash_tells_the_agent_nothing_but_the_way_to_its_trace(
    settings: Settings, probes: Callable[[str, str], Any], caplog: pytest.LogCaptureFixture
) -> None:
    fragile = probes("fragile", "def stumble(work):\n    raise LookupError('the seventh step is missing')\n")

    async def climb(context: Injected) -> int:
        """Climb."""
        return await context.call(fragile.stumble)

    server = create_server(settings, Toolset("fragile", "", (writes(climb, "Climb"),)))
    async with server.services.running(), Client(server) as client:
        result = await client.call_tool("climb", {})
        (span,) = await spans_of(settings)
    assert result.is_error
    assert f"get_trace(trace='trace:{span.trace_id}', detail='full')" in str(result.content)
    assert "seventh step" not in str(result.content)
    assert "the seventh step is missing" in caplog.text
    assert "the seventh step is missing" in span.error
    assert span.error_type == "LookupError"
    assert "in stumble" in span.error_trace


@pytest.mark.parametrize(
    "meta",
    [
        {"opik_trace_id": TRACE, "opik_parent_span_id": PARENT, "traceparent": f"00-{'4' * 32}-{'5' * 16}-01"},
        {"baggage": f"a=b, opik.trace_id={TRACE};x=y ,opik.span_id={PARENT}"},
    ],
)
async def test_opiks_own_ids_come_before_others_and_may_be_baggage(
    client: Client, settings: Settings, meta: Any
) -> None:
    await client.call_tool("list_jobs", {}, meta=meta)
    (span,) = await spans_of(settings)
    assert (span.trace_id, span.parent_id, span.foreign) == (TRACE, PARENT, True)


async def test_a_call_of_a_trace_of_its_own_belongs_to_the_conversation(client: Client, settings: Settings) -> None:
    meta: Any = {"opik_thread_id": "chat-7"}
    await client.call_tool("list_jobs", {}, meta=meta)
    for _ in range(2):
        await client.call_tool("list_jobs", {})
    spans = await spans_of(settings, 3)
    threads = [span.thread for span in sorted(spans, key=lambda span: span.start)]
    assert threads[0] == "chat-7"
    assert threads[1] == threads[2] != ""
    assert not any(span.foreign for span in spans)


async def test_a_call_that_goes_on_shows_as_started(client: Client, settings: Settings) -> None:
    call = asyncio.create_task(client.call_tool("generate_dataset", {"kind": "e2i_classification", "n_rows": 200_000}))
    reader = TraceReader(settings.home / "traces.db")
    async with asyncio.timeout(600):
        while not (traces := reader.traces(1)):
            await asyncio.sleep(0.01)
    (first, *_) = reader.spans(traces[0].trace_id)
    assert (first.name, first.status, first.end) == ("generate_dataset", "started", 0.0)
    await call


async def test_a_call_notes_the_handles_that_it_made(client: Client, settings: Settings) -> None:
    made = await client.call_tool("generate_dataset", {"kind": "e2i_classification", "n_rows": 200})
    run = await client.call_tool("start_run", {"name": "r"})
    assert isinstance(made.structured_content, dict)
    assert isinstance(run.structured_content, dict)
    spans = {span.name: span for span in await spans_of(settings, 2)}
    assert made.structured_content["dataset"] in spans["generate_dataset"].metadata["handles"]
    assert spans["start_run"].metadata["mlflow_run_id"] == run.structured_content["run"].removeprefix("run:")


@pytest.mark.parametrize(("capture", "kept"), [("metadata", (1, None, None)), ("off", (0, None, None))])
async def test_a_toolset_may_be_captured_less_than_the_others(
    settings: Settings, capture: str, kept: tuple[int, None, None]
) -> None:
    tracing = settings.tracing.model_copy(update={"toolsets": {"jobs": capture}})
    server = create_server(settings.model_copy(update={"tracing": tracing}))
    async with server.services.running(), Client(server) as client:
        await client.call_tool("list_jobs", {"limit": 3})
        await client.call_tool("list_suites", {"limit": 3})
    spans = {span.name: span for span in await spans_of(settings)}
    assert spans["list_suites"].input == {"limit": 3}
    found = spans.get("list_jobs")
    assert (int(found is not None), found and found.input, found and found.output) == kept


async def test_patterns_of_the_settings_are_taken_out_of_everything(settings: Settings) -> None:
    tracing = settings.tracing.model_copy(update={"redact": (r"EMP-\d{6}",)})
    server = create_server(settings.model_copy(update={"tracing": tracing}))
    async with server.services.running(), Client(server) as client:
        await client.call_tool("describe_dataset", {"dataset": "EMP-123456", "columns": ["EMP-123456"]})
        with pytest.raises(MCPError):
            await client.read_resource("mlflow://runs/EMP-123456")
    assert len(await spans_of(settings, 2)) == 2
    for file in settings.home.glob("traces.db*"):
        assert b"EMP-123456" not in file.read_bytes()
