"""A streamed message is put together from pieces of any length."""

from __future__ import annotations

import json

import pytest

from mlops_mcp.tools.tracing.agents.anthropic_stream import Assembly

EVENTS = (
    {"type": "message_start", "message": {"id": "m", "usage": {"input_tokens": 3, "output_tokens": 1}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}},
    {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": "Hé"}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "llo"}},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 7}},
    {"type": "message_stop"},
)
TEXT = "".join(f"event: {event['type']}\r\ndata: {json.dumps(event, ensure_ascii=False)}\r\n\r\n" for event in EVENTS)


@pytest.mark.parametrize("length", [1, 7, 10_000])
def test_pieces_of_any_length_make_the_same_message(length: int) -> None:
    body, assembly = TEXT.encode(), Assembly()
    for start in range(0, len(body), length):
        assembly.feed(body[start : start + length])
    assert assembly.message() == {
        "id": "m",
        "usage": {"input_tokens": 3, "output_tokens": 7},
        "stop_reason": "end_turn",
        "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "Héllo"}],
    }


@pytest.mark.parametrize(
    "line",
    [
        b"data: [1]", b"data: {", b'data: {"type": "message_start", "message": 1}', b": ping",
        b'data: {"type": "content_block_delta", "index": "0", "delta": 3}', b'data: {"type": "error", "error": "x"}',
        b'data: {"type": "message_delta", "delta": null, "usage": 5}',
    ],
)  # fmt: skip
def test_events_of_another_form_are_passed_over(line: bytes) -> None:
    assembly = Assembly()
    assembly.feed(line + b"\n")
    assembly.feed(TEXT.encode())
    message = assembly.message()
    assert (message["stop_reason"], message["content"][1]["text"]) == ("end_turn", "Héllo")


def test_a_tool_call_that_was_broken_off_keeps_what_came_of_its_arguments() -> None:
    assembly = Assembly()
    for event in (
        {"type": "content_block_start", "index": 0, "content_block": {"type": "tool_use", "input": {}}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": '{"a": 1'}},
    ):
        assembly.feed(f"data: {json.dumps(event)}\n".encode())
    assert assembly.message()["content"] == [{"type": "tool_use", "input": '{"a": 1'}]
