"""The stand-in for the Messages API answers a client of Anthropic's as the API would."""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import anthropic
import pytest

from mlops_mcp.examples import handover
from mlops_mcp.examples.handover.messages_api import MessagesApi, served
from mlops_mcp.examples.handover.recorded import Call, Conversation, Refusal, Turn, script_of
from mlops_mcp.tools import wire
from mlops_mcp.tools.profiles import AGENTS

KEY = "sk-of-nobody"
ASKED: dict[str, Any] = {
    "model": "m",
    "max_tokens": 9,
    "messages": [{"role": "user", "content": "You are the tester."}],
}
TURNS = [Turn(say="Hello ⚙", call=[Call(tool="add", input={"a": [1, "ü"]})], tokens=(7, 3))]


@pytest.fixture
def api() -> Generator[MessagesApi]:
    with served({"tester": TURNS, "": [Turn(say="anybody")]}, KEY) as api:
        yield api


def client(api: MessagesApi, key: str = KEY) -> anthropic.Anthropic:
    return anthropic.Anthropic(api_key=key, base_url=api.url, max_retries=0)


def test_a_stream_and_a_plain_answer_say_the_same(api: MessagesApi) -> None:
    plain = client(api).messages.create(**ASKED)
    with client(api).messages.stream(**ASKED) as stream:
        streamed = stream.get_final_message()
    assert [block.to_dict() for block in streamed.content] == [block.to_dict() for block in plain.content]
    assert (streamed.stop_reason, plain.stop_reason) == ("tool_use", "tool_use")
    assert (streamed.usage.input_tokens, streamed.usage.output_tokens) == (7, 3)


def test_a_wrong_key_is_refused_as_by_the_api(api: MessagesApi) -> None:
    with pytest.raises(anthropic.AuthenticationError, match="invalid key"):
        client(api, "sk-wrong").messages.create(**ASKED)
    assert api.asked == []


def test_refusals_come_first_and_once() -> None:
    turn = Turn(say="at last", refused=[Refusal(status=529, type="overloaded_error"), Refusal(status=429)])
    with served({"": [turn]}, KEY) as api:
        asked: dict[str, Any] = ASKED | {"messages": [{"role": "user", "content": "x"}]}
        with pytest.raises(anthropic.InternalServerError):
            client(api).messages.create(**asked)
        with pytest.raises(anthropic.RateLimitError):
            client(api).messages.create(**asked)
        assert client(api).messages.create(**asked).to_dict()["content"][0]["text"] == "at last"


def answered(tool: str, result: dict[str, Any], identity: str = "a") -> list[dict[str, Any]]:
    use = {"type": "tool_use", "id": identity, "name": tool, "input": {}}
    said = {"type": "tool_result", "tool_use_id": identity, "content": [{"type": "text", "text": json.dumps(result)}]}
    return [{"role": "assistant", "content": [use]}, {"role": "user", "content": [said]}]


def test_a_prompt_that_names_another_agent_plays_the_turns_of_its_own() -> None:
    said = "You are the model trainer. What is missing the data preparer adds.\ndata preparer said: so"
    script = {"data_preparer": [Turn(say="a")], "model_trainer": [Turn(say="b")]}
    assert Conversation([{"role": "user", "content": said}]).agent(script) == "model_trainer"
    assert Conversation([{"role": "user", "content": "You are nobody."}]).agent(script) == ""


def test_gaps_are_filled_with_what_tools_have_answered_and_jobs_are_followed_to_their_end() -> None:
    opening = {"role": "user", "content": "Known: dataset:a@1. Later dataset:b@2, file:/x/y.csv"}
    running = [opening, *answered("train_model", {"job": "job:1", "state": "running"})]
    assert Conversation(running).unfinished == ["job:1"]
    ended = answered("get_job", {"job": "job:1", "state": "done", "result": {"model": "m-1", "of": [1]}}, "follow_b")
    talk = Conversation([*running, *ended])
    assert (talk.unfinished, talk.place) == ([], 1)
    filled = talk.filled({"a": ["${train_model.model}"], "b": "of ${train_model.of.0}", "c": "${known.dataset}"})
    assert filled == {"a": ["m-1"], "b": "of 1", "c": "dataset:b@2"}
    assert talk.filled("${known.file}") == "/x/y.csv"
    with pytest.raises(KeyError):
        talk.filled("${known.model}")


def test_a_recording_that_does_not_fit_is_told(api: MessagesApi) -> None:
    api.script = {"": [Turn(say="${never.called}")]}
    with pytest.raises(anthropic.BadRequestError, match="nothing was recorded for this"):
        client(api).messages.create(**ASKED)


def test_the_recorded_agents_call_tools_of_their_own_with_arguments_that_these_have() -> None:
    script = script_of(Path(handover.__file__).with_name("turns.yaml"))
    assert list(script) == [agent.name for agent in AGENTS]
    for agent in AGENTS:
        for call in (call for turn in script[agent.name] for call in turn.call):
            assert call.tool in agent.tools
            assert set(call.input) <= set(wire.shipped(call.tool)["inputSchema"]["properties"])
            # By its name alone a dataset that is there in two versions is refused.
            assert "${" in str(call.input.get("sql", "${"))
