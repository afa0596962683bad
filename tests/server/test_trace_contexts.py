"""Under which trace and conversation a request belongs, whichever way its caller says so."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import httpx2
import pytest
from mcp import Client, MCPError
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client
from pydantic import JsonValue
from starlette.requests import Request

from mlops_mcp.config.settings import Settings
from mlops_mcp.server.app import create_server
from mlops_mcp.server.middleware import TraceContext, trace_context_of
from mlops_mcp.tools.runtime.models import JobView
from mlops_mcp.tools.spec import Injected, Toolset, writes
from mlops_mcp.tools.tracing.span import Carrier, Span
from mlops_mcp.tools.tracing.store.reader import TraceReader

from .conftest import Served

FIRST, SECOND, THIRD = (f"01934567-89ab-7cde-8f01-00000000000{number}" for number in range(1, 4))
PARENT = "01934567-89ab-7cde-8f01-23456789abce"
W3C, OURS = "4bf92f3577b34da6a3ce929d0e0e4736", "4bf92f35-77b3-7da6-83ce-929d0e0e4736"
TRACEPARENT = f"00-{W3C}-00f067aa0ba902b7-01"


def caller(meta: Mapping[str, Any], headers: Mapping[str, str] | None, query: str = "") -> TraceContext:
    request = None
    if headers is not None:
        raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        request = Request({"type": "http", "headers": raw, "query_string": query.encode()})
    return trace_context_of(cast(Any, SimpleNamespace(meta=meta, request=request)), "connection")


@pytest.mark.parametrize(
    ("meta", "headers", "above", "foreign"),
    [
        ({"opik_trace_id": FIRST}, {"opik_trace_id": SECOND}, Carrier(FIRST, ""), True),
        ({"opik_trace_id": FIRST, "opik_parent_span_id": PARENT}, {}, Carrier(FIRST, PARENT), True),
        ({"opik_trace_id": FIRST, "opik_parent_span_id": "x"}, {}, Carrier(FIRST, ""), True),
        ({"opik_trace_id": FIRST.upper()}, {}, Carrier(FIRST, ""), True),
        ({"baggage": f"opik.trace_id={FIRST}"}, {"opik_trace_id": SECOND}, Carrier(SECOND, ""), True),
        ({}, {"opik_trace_id": FIRST, "opik_parent_span_id": PARENT}, Carrier(FIRST, PARENT), True),
        ({}, {"Opik-Trace-Id": FIRST, "Opik-Parent-Span-Id": PARENT}, Carrier(FIRST, PARENT), True),
        (
            {"baggage": f"opik.trace_id={FIRST}"},
            {"baggage": f"opik.trace_id={SECOND}", "traceparent": TRACEPARENT},
            Carrier(FIRST, ""),
            True,
        ),
        (
            {"traceparent": TRACEPARENT},
            {"baggage": f"k=v,opik.trace_id={FIRST},opik.span_id={PARENT}"},
            Carrier(FIRST, PARENT),
            True,
        ),
        ({}, {"traceparent": TRACEPARENT}, Carrier(OURS, ""), False),
        ({"traceparent": TRACEPARENT}, {"traceparent": TRACEPARENT.replace("4b", "5c")}, Carrier(OURS, ""), False),
        ({"opik_trace_id": "none"}, {"traceparent": TRACEPARENT}, Carrier(OURS, ""), False),
        ({"traceparent": f"00-{'0' * 32}-00f067aa0ba902b7-01"}, {}, None, False),
        ({}, {}, None, False),
        ({}, None, None, False),
    ],
)
def test_the_nearest_word_on_the_trace_counts(
    meta: dict[str, Any], headers: dict[str, str] | None, above: Carrier | None, foreign: bool
) -> None:
    found = caller(meta, headers)
    assert (found.above, found.foreign) == (above, foreign)


@pytest.mark.parametrize(
    ("meta", "headers", "query", "thread"),
    [
        ({"opik_thread_id": "chat-7"}, {"mcp-session-id": "s"}, "", "chat-7"),
        ({}, {"mcp-session-id": "s"}, "", "s"),
        ({}, {}, "session_id=abc", "abc"),
        ({}, {}, "", ""),
        ({}, None, "", "connection"),
        ({"opik_thread_id": "x" * 1000}, None, "", "x" * 200),
    ],
)
def test_the_conversation_is_the_callers_or_the_session(
    meta: dict[str, Any], headers: dict[str, str] | None, query: str, thread: str
) -> None:
    assert caller(meta, headers, query).thread == thread


async def ended_spans(settings: Settings, names: set[str]) -> dict[str, Span]:
    """The spans by name, as soon as those of these names have ended."""
    reader = TraceReader(settings.home / "traces.db")
    async with asyncio.timeout(600):
        while True:
            found = {span.name: span for trace in reader.traces(50) for span in reader.spans(trace.trace_id)}
            if names <= {name for name, span in found.items() if span.end}:
                return found
            await asyncio.sleep(0.02)


async def test_prompts_and_resources_are_spans_like_tools(client: Client, settings: Settings) -> None:
    run = await client.call_tool("start_run", {"name": "r"})
    assert isinstance(run.structured_content, dict)
    uri = f"mlflow://runs/{run.structured_content['run'].removeprefix('run:')}"
    await client.read_resource(uri)
    await client.get_prompt("scope_definer", {"goal": "less default"})
    with pytest.raises(MCPError):
        await client.get_prompt("scope_definer", {})
    spans = await ended_spans(settings, {uri, "scope_definer"})
    assert (spans[uri].kind, spans[uri].input, spans[uri].metadata["method"]) == (
        "general",
        {"uri": uri},
        "resources/read",
    )
    assert "r" in str(spans[uri].output)
    assert {span.name for span in spans.values() if span.status == "error"} <= {"scope_definer"}


async def test_a_call_that_its_client_gives_up_is_a_cancelled_span(settings: Settings) -> None:
    async def wait_forever(context: Injected, what: str) -> JobView[JsonValue]:
        """Wait."""
        await asyncio.Event().wait()
        raise AssertionError

    server = create_server(settings, Toolset("waiting", "", (writes(wait_forever, "Wait"),)))
    async with server.services.running(), Client(server) as client:
        with pytest.raises(MCPError):
            await client.call_tool("wait_forever", {"what": "rain"}, read_timeout_seconds=0.3)
        span = (await ended_spans(settings, {"wait_forever"}))["wait_forever"]
    assert (span.status, span.error, span.input) == ("cancelled", "", {"what": "rain"})


@pytest.mark.slow
async def test_the_headers_of_http_name_the_trace_and_the_session(settings: Settings, served: Served) -> None:
    headers = {"opik_trace_id": FIRST, "opik_parent_span_id": PARENT}
    async with served("http") as (_, url):
        async with (
            httpx2.AsyncClient(headers=headers) as http,
            Client(streamable_http_client(url, http_client=http)) as client,
        ):
            await client.call_tool("list_jobs", {})
        async with Client(url, mode="legacy") as client:
            await client.call_tool("list_suites", {})
            await client.call_tool("list_datasets", {})
        spans = await ended_spans(settings, {"list_jobs", "list_suites", "list_datasets"})
    assert (spans["list_jobs"].trace_id, spans["list_jobs"].parent_id) == (FIRST, PARENT)
    assert spans["list_jobs"].foreign
    assert spans["list_suites"].thread == spans["list_datasets"].thread != ""


@pytest.mark.slow
async def test_every_connection_over_sse_is_a_conversation_of_its_own(settings: Settings, served: Served) -> None:
    async with served("sse") as (_, url):
        for tools in (("list_jobs", "list_suites"), ("list_datasets",)):
            async with Client(sse_client(url)) as client:
                for tool in tools:
                    await client.call_tool(tool, {})
        spans = await ended_spans(settings, {"list_jobs", "list_suites", "list_datasets"})
    assert spans["list_jobs"].thread == spans["list_suites"].thread != ""
    assert spans["list_datasets"].thread not in ("", spans["list_jobs"].thread)
