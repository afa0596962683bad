"""Agents that are written in Python trace themselves, and their calls of Anthropic's API, into the same store."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

import anthropic
import pytest

from mlops_mcp.config.settings import Settings
from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.observability.connector import OpikConnector
from mlops_mcp.tools.tracing.score import Score
from mlops_mcp.tools.tracing.span import Span
from mlops_mcp.tools.tracing.store.reader import TraceReader

pytestmark = pytest.mark.slow

USAGE = {"input_tokens": 25, "output_tokens": 15, "cache_creation_input_tokens": 100, "cache_read_input_tokens": 1000}


def message(model: str, content: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": "msg_1", "type": "message", "role": "assistant", "model": model, "content": content,
        "stop_reason": "end_turn", "stop_sequence": None, "usage": USAGE,
    }  # fmt: skip


def events(model: str) -> list[dict[str, Any]]:
    return [
        {"type": "message_start", "message": message(model, []) | {"stop_reason": None}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hel"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "lo!"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 15}},
        {"type": "message_stop"},
    ]


def tool_events(model: str) -> list[dict[str, Any]]:
    block = {"type": "tool_use", "id": "toolu_1", "name": "add", "input": {}}
    parts = ('{"a": 1', ', "b": 2}')
    return [
        *events(model)[:1],
        {"type": "content_block_start", "index": 0, "content_block": block},
        *(
            {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": part}}
            for part in parts
        ),
        *events(model)[4:],
    ]


def sse(lines: list[dict[str, Any]]) -> str:
    return "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in lines)


class Messages(BaseHTTPRequestHandler):
    """Anthropic's Messages API. In a prompt, `overloaded` is refused, `hang` is never answered, `busy` fails in the
    stream, `stall` stops in it, `tool` calls one, `odd` is what only a gateway would answer."""

    protocol_version = "HTTP/1.1"
    leave = Event()

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        text = json.dumps(asked["messages"])
        if "overloaded" in text:
            self._say(529, "application/json", json.dumps({"error": {"type": "overloaded_error", "message": "Busy"}}))
        elif "hang" in text:
            self.leave.wait(120)
            self.close_connection = True
        elif "odd" in text:
            self._say(200, "application/json", '{"content": 7, "usage": [1], "error": "no object"}')
        elif asked.get("stream") and ("busy" in text or "stall" in text):
            begun = events(asked["model"])[:3]
            last = (
                [{"type": "error", "error": {"type": "overloaded_error", "message": "Busy"}}] if "busy" in text else []
            )
            self._say(200, "text/event-stream", sse([*begun, *last]), stall="stall" in text)
        elif asked.get("stream") and "tool" in text:
            self._say(200, "text/event-stream", sse(tool_events(asked["model"])))
        elif asked.get("stream"):
            self._say(200, "text/event-stream; charset=utf-8", sse(events(asked["model"])))
        else:
            content = [{"type": "text", "text": f"Hello, {asked['messages'][0]['content']}"}]
            self._say(200, "application/json", json.dumps(message(asked["model"], content)))

    def _say(self, status: int, kind: str, text: str, stall: bool = False) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body) + stall))
        self.end_headers()
        self.wfile.write(body)
        if stall:
            self.wfile.flush()
            self.leave.wait(120)
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None: ...


@pytest.fixture
def api() -> Generator[str]:
    Messages.leave.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Messages) as server:
        server.daemon_threads = True
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        Messages.leave.set()
        server.shutdown()


def stored(settings: Settings) -> dict[str, Span]:
    reader = TraceReader(settings.home / "traces.db")
    return {span.name: span for trace in reader.traces(50) for span in reader.spans(trace.trace_id)}


def ask(text: str) -> dict[str, Any]:
    return {"model": "claude-sonnet-4-5", "max_tokens": 64, "messages": [{"role": "user", "content": text}]}


async def test_an_agent_and_its_model_are_traced_as_the_design_says(settings: Settings) -> None:
    async with OpikConnector(settings) as opik:
        async with opik.trace_agent("feature_analyzer", "interpret_shap", metadata={"experiment_id": "7"}) as span:
            span.add_event("shap_computed", {"samples": 200})
            span.set_attribute("top", "income")
            async with opik.trace_llm_call("claude-sonnet-4-5", span, "Explain {top}") as llm:
                llm.log_tokens(120, 30)
            opik.log_metric("doubt", 0.25)
            span.set_status("OK")
        opik.log_feedback(span.trace_id, 0.9, "user")
    spans = stored(settings)
    agent, llm_call = spans["feature_analyzer.interpret_shap"], spans["llm_call"]
    assert {"agent_name": "feature_analyzer", "experiment_id": "7", "top": "income"}.items() <= agent.metadata.items()
    assert (agent.metadata["events"][0]["name"], agent.metadata["metrics"]) == ("shap_computed", {"doubt": 0.25})
    assert (llm_call.parent_id, llm_call.kind, llm_call.model) == (agent.id, "llm", "claude-sonnet-4-5")
    assert llm_call.usage == {"prompt_tokens": 120, "completion_tokens": 30, "total_tokens": 150}
    assert llm_call.metadata["prompt_template"] == "Explain {top}"
    scores = TraceReader(settings.home / "traces.db").scores(agent.trace_id)
    assert scores == [Score("trace", agent.trace_id, "user", 0.9)]


async def test_an_agent_that_fails_or_is_cancelled_says_so_and_leaves_nothing_open(settings: Settings) -> None:
    async with OpikConnector(settings) as opik:
        with pytest.raises(ZeroDivisionError):
            async with opik.trace_agent("a", "fails"):
                raise ZeroDivisionError("by zero")

        begun = asyncio.Event()

        async def wait() -> None:
            async with opik.trace_agent("a", "waits"):
                begun.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(wait())
        await begun.wait()
        task.cancel()
        await asyncio.wait([task])
        async with opik.trace_agent("a", "after", trace_id="my session") as after:
            pass
        async with opik.trace_agent("a", "again", trace_id="my session") as again:
            pass
    spans = stored(settings)
    assert (spans["a.fails"].error_type, "by zero" in spans["a.fails"].error_trace) == ("ZeroDivisionError", True)
    assert spans["a.waits"].status == "cancelled"
    assert after.trace_id == again.trace_id
    assert all(span.end for span in spans.values())


async def test_calls_of_the_messages_api_are_spans_below_the_agents_own(settings: Settings, api: str) -> None:
    async with OpikConnector(settings) as opik:
        client = opik.track_anthropic(anthropic.AsyncAnthropic(api_key="sk-ant-api03-hunter2", base_url=api))
        async with opik.trace_agent("a", "talks") as span:
            answer = await client.messages.create(**ask("Ann"), metadata={"user_id": "u1"})
            assert answer.content[0].type == "text"
            assert answer.content[0].text == "Hello, Ann"
    made = stored(settings)["anthropic.messages"]
    assert (made.parent_id, made.kind, made.provider, made.model) == (
        span.span_id, "llm", "anthropic", "claude-sonnet-4-5",
    )  # fmt: skip
    assert made.output == {"content": [{"type": "text", "text": "Hello, Ann"}]}
    assert made.usage["prompt_tokens"] == 25 + 100 + 1000
    assert (made.usage["completion_tokens"], made.usage["original_usage.cache_read_input_tokens"]) == (15, 1000)
    assert (made.metadata["metadata"], made.metadata["max_tokens"]) == ({"user_id": "u1"}, 64)
    assert all(b"hunter2" not in file.read_bytes() for file in settings.home.glob("traces.db*"))


async def test_calls_at_the_same_time_keep_their_own_metadata(settings: Settings, api: str) -> None:
    async with OpikConnector(settings) as opik:
        client = opik.track_anthropic(anthropic.AsyncAnthropic(api_key="k", base_url=api))
        users = [f"u{number}" for number in range(6)]
        await asyncio.gather(*(client.messages.create(**ask(user), metadata={"user_id": user}) for user in users))
    reader = TraceReader(settings.home / "traces.db")
    spans = [span for trace in reader.traces(50) for span in reader.spans(trace.trace_id)]
    assert len(spans) == 6
    assert all(span.metadata["metadata"]["user_id"] == span.input["messages"][0]["content"] for span in spans)


async def test_a_stream_is_one_span_with_the_whole_message(settings: Settings, api: str) -> None:
    async with OpikConnector(settings) as opik:
        client = opik.track_anthropic(anthropic.AsyncAnthropic(api_key="k", base_url=api))
        async with client.with_options(timeout=600).messages.stream(**ask("Ann")) as stream:
            assert [text async for text in stream.text_stream] == ["Hel", "lo!"]
    made = stored(settings)["anthropic.messages"]
    assert (made.status, made.output) == ("ok", {"content": [{"type": "text", "text": "Hello!"}]})
    assert made.usage["completion_tokens"] == 15


async def test_a_call_that_is_refused_broken_off_or_cancelled_ends_its_span(settings: Settings, api: str) -> None:
    async with OpikConnector(settings) as opik:
        client = opik.track_anthropic(anthropic.AsyncAnthropic(api_key="k", base_url=api, max_retries=0))
        async with opik.trace_agent("a", "refused") as refused:
            with pytest.raises(anthropic.APIStatusError):
                async with client.messages.stream(**ask("overloaded")):
                    pass
        async with opik.trace_agent("a", "hangs") as hangs:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await client.messages.create(**ask("hang"))
        async with opik.trace_agent("a", "breaks off") as broken:
            stream = await client.messages.create(**ask("Ann"), stream=True)
            async for _ in stream:
                break
            await stream.close()
    reader = TraceReader(settings.home / "traces.db")
    found = {agent: reader.spans(agent.trace_id)[-1] for agent in (refused, hangs, broken)}
    assert (found[refused].status, found[refused].error_type) == ("error", "overloaded_error")
    assert found[refused].error == "HTTP 529: Busy"
    assert found[hangs].status == "cancelled"
    assert found[broken].end > 0


async def test_a_stream_that_fails_or_is_cancelled_in_the_middle_ends_its_span(settings: Settings, api: str) -> None:
    async with OpikConnector(settings) as opik:
        client = opik.track_anthropic(anthropic.AsyncAnthropic(api_key="k", base_url=api, max_retries=0))
        async with opik.trace_agent("a", "fails") as fails:
            with pytest.raises(anthropic.APIStatusError):
                async with client.messages.stream(**ask("busy")) as stream:
                    await stream.get_final_message()
        async with opik.trace_agent("a", "stalls") as stalls:
            heard = asyncio.Event()

            async def listen() -> None:
                async with client.messages.stream(**ask("stall")) as stream:
                    async for _ in stream.text_stream:
                        heard.set()

            listening = asyncio.create_task(listen())
            await heard.wait()
            listening.cancel()
            await asyncio.wait([listening])
    reader = TraceReader(settings.home / "traces.db")
    failed, stalled = (reader.spans(agent.trace_id)[-1] for agent in (fails, stalls))
    assert (failed.status, failed.error_type, failed.error) == ("error", "overloaded_error", "in the stream: Busy")
    assert (stalled.status, stalled.output) == ("cancelled", {"content": [{"type": "text", "text": "Hel"}]})
    assert failed.end
    assert stalled.end


async def test_the_arguments_of_a_streamed_tool_call_are_read(settings: Settings, api: str) -> None:
    async with OpikConnector(settings) as opik:
        client = opik.track_anthropic(anthropic.AsyncAnthropic(api_key="k", base_url=api))
        async with client.messages.stream(**ask("tool")) as stream:
            await stream.get_final_message()
    made = stored(settings)["anthropic.messages"]
    assert made.output["content"][0]["input"] == {"a": 1, "b": 2}


async def test_raw_responses_betas_and_bodies_of_any_form_are_traced_and_disturb_no_call(
    settings: Settings, api: str
) -> None:
    async with OpikConnector(settings) as opik:
        client = opik.track_anthropic(anthropic.AsyncAnthropic(api_key="k", base_url=api))
        raw = await client.messages.with_raw_response.create(**ask("Ann"))
        assert (await raw.parse()).usage.output_tokens == 15
        await client.beta.messages.create(**ask("Bob"))
        names = dict.fromkeys(("kind", "parent", "input", "capture", "thread", "foreign"), "mine")
        await client.messages.create(**ask("Cas"), extra_body=names)
        await client.messages.with_raw_response.create(**ask("odd"))
    reader = TraceReader(settings.home / "traces.db")
    spans = [span for trace in reader.traces(9) for span in reader.spans(trace.trace_id)]
    found = {span.input["messages"][0]["content"]: span for span in spans}
    assert {name: span.status for name, span in found.items()} == {
        "Ann": "ok", "Bob": "ok", "Cas": "ok", "odd": "error",
    }  # fmt: skip
    assert found["Ann"].usage["completion_tokens"] == found["Bob"].usage["completion_tokens"] == 15
    assert names.items() <= found["Cas"].metadata.items()


async def test_a_call_of_a_model_shows_as_started_while_it_runs(settings: Settings, api: str) -> None:
    opik = OpikConnector(settings)
    client = opik.track_anthropic(anthropic.AsyncAnthropic(api_key="k", base_url=api, max_retries=0))
    call = asyncio.create_task(client.messages.create(**ask("hang")))
    async with asyncio.timeout(600):
        while not (running := stored(settings).get("anthropic.messages")):
            await asyncio.sleep(0.01)
    assert (running.status, running.end) == ("started", 0)
    call.cancel()
    await asyncio.wait([call])
    await asyncio.to_thread(opik.close)
    assert stored(settings)["anthropic.messages"].status == "cancelled"


async def test_a_parent_without_its_trace_is_refused(settings: Settings) -> None:
    async with OpikConnector(settings) as opik:
        with pytest.raises(ValueError, match="needs the trace_id"):
            async with opik.trace_agent("a", "b", parent_span_id="c"):
                pass


def test_a_synchronous_client_is_traced_alike(settings: Settings, api: str) -> None:
    opik = OpikConnector(settings)
    client = opik.track_anthropic(anthropic.Anthropic(api_key="k", base_url=api))
    client.messages.create(**ask("Ann"))
    with client.messages.stream(**ask("Bob")) as stream:
        assert stream.get_final_text() == "Hello!"
    opik.close()
    reader = TraceReader(settings.home / "traces.db")
    spans = [span for trace in reader.traces(50) for span in reader.spans(trace.trace_id)]
    assert [(span.status, span.usage["completion_tokens"]) for span in spans] == [("ok", 15)] * 2


def test_only_a_client_of_anthropic_is_tracked(settings: Settings) -> None:
    with pytest.raises(TypeError, match="not a dict"):
        OpikConnector(settings).track_anthropic({})


async def test_an_agent_is_judged_by_test_cases_that_it_answers_itself(settings: Settings) -> None:
    async def capital(country: Any) -> str:
        return {"France": "Paris"}.get(country, "?")

    cases = [{"input": "France", "expected": "Paris"}, {"input": "Spain", "expected": "Madrid"}]
    async with OpikConnector(settings) as opik:
        assert await opik.evaluate_agent("geographer", cases, ["Equals"], task=capital) == {"Equals": 0.5}
        with pytest.raises(ToolFailure, match="needs a language model"):
            await opik.evaluate_agent("geographer", cases, ["Hallucination"])
    reader = TraceReader(settings.home / "traces.db")
    scores = [score.value for trace in reader.traces(9) for score in reader.scores(trace.trace_id)]
    assert sorted(scores) == [0, 1]
