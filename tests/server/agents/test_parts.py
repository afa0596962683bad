"""What agents hand over, may use, and are asked."""

from __future__ import annotations

import io
import shlex
from typing import Any

import pytest
from mcp.types import ElicitRequestFormParams

from mlops_mcp.config.errors import SettingsError
from mlops_mcp.config.load import load
from mlops_mcp.server.agents.command import Request, chosen, go_on, server_of
from mlops_mcp.server.agents.confirmation import asker
from mlops_mcp.server.agents.handover import MAX_HANDOVER, fixed, handed_over
from mlops_mcp.server.agents.limits import Spent
from mlops_mcp.server.agents.outcome import Report
from mlops_mcp.server.agents.pipeline import PIPELINE, Passage, Plan
from mlops_mcp.server.cli import command_line, main
from mlops_mcp.tools.decisions import normal
from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.profiles import AGENTS


def report(agent: str, said: str, *handles: str) -> Report:
    return Report(agent, said=said, handles=list(handles))


def test_the_next_agent_is_told_handles_and_texts_in_their_order() -> None:
    told = handed_over([report("a", "first", "dataset:x@1"), report("b", "second", "dataset:x@1", "run:1")], "before")
    assert told == "before\n\nHandles: dataset:x@1, run:1\n\na said: first\n\nb said: second"
    assert handed_over([], "") == ""
    assert handed_over([report("a", "")], "") == ""


def test_an_alias_that_an_agent_met_does_not_keep_its_hand_over_out_of_the_log() -> None:
    met = ["model:credit@production", "model:credit/2", "dataset:loans@3f"]
    assert fixed(met) == [normal(handle) for handle in met[1:]]


def test_of_long_hand_overs_the_oldest_gives_way_and_the_handles_stay() -> None:
    told = handed_over([report("a", "x" * 9000, "dataset:x@1"), report("b", "y" * 4900)], "before")
    assert "dataset:x@1" in told
    assert told.count("y") == 4900
    assert len(told) <= MAX_HANDOVER + 20
    assert len(handed_over([report("a", "x" * 9000)], "k" * 9000)) <= MAX_HANDOVER + 20


def test_the_scope_definer_may_leave_agents_out_but_not_invent_them() -> None:
    plan = Plan()
    assert len(plan.agents) == 8
    plan.choose(["model_trainer", "model_deployer", "model_trainer"], "data are there")
    assert [agent.name for agent in plan.agents] == ["scope_definer", "model_trainer", "model_deployer"]
    for names in (["model_trainr"], [], ["scope_definer"]):
        with pytest.raises(ValueError, match="pass some of"):
            plan.choose(names, "")
    assert len(plan.agents) == 3


def test_what_the_cache_gives_and_takes_is_counted_and_paid_for() -> None:
    limits = load({}).settings.agent.model_copy(update={"input_price": 3.0, "output_price": 15.0})
    spent = Spent(limits)
    spent.add({"input_tokens": 100, "output_tokens": 10, "cache_creation_input_tokens": 1000})
    spent.add({"input_tokens": 100, "output_tokens": None, "cache_read_input_tokens": 1000, "service_tier": "x"})
    assert (spent.turns, spent.input_tokens, spent.output_tokens) == (2, 2200, 10)
    assert spent.cost == pytest.approx((1350 * 3 + 10 * 15 + 200 * 3) / 1e6)
    assert Spent(load({}).settings.agent).cost is None


FORM = ElicitRequestFormParams(
    message="delete(\x1b[2Jdataset:a)? May it be done?",
    requested_schema={"type": "object", "properties": {"choice": {"type": "string", "enum": ["allow", "refuse"]}}},
)


@pytest.mark.parametrize(
    ("typed", "action", "content"),
    [
        ("1\n", "accept", {"choice": "allow"}),
        ("refuse\n", "accept", {"choice": "refuse"}),
        ("yes\n", "decline", None),
        ("", "decline", None),
    ],
)
async def test_a_person_at_the_terminal_is_asked_and_nothing_but_a_choice_counts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], typed: str, action: str, content: Any
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    ask: Any = asker(interactive=True)
    answer = await ask(None, FORM)
    assert (answer.action, answer.content) == (action, content)
    asked = capsys.readouterr().err
    assert "1: allow" in asked
    assert "\x1b" not in asked
    assert asker(interactive=False) is None


@pytest.mark.parametrize(
    ("arguments", "variables", "says"),
    [
        (["a goal"], {}, "ANTHROPIC_API_KEY is not set"),
        (["--agent", "model_trainr", "a goal"], {"ANTHROPIC_API_KEY": "x"}, "Did you mean model_trainer"),
        (["a goal"], {"ANTHROPIC_API_KEY": "x", "ANTHROPIC_API_KEY_FILE": "/dev/null"}, "are both set"),
        (["a goal"], {"ANTHROPIC_API_KEY_FILE": "/no/such/file"}, "/no/such/file"),
        (["  "], {"ANTHROPIC_API_KEY": "x"}, "an empty goal"),
        (["a goal"], {"MLOPS_AGENT__BASE_URL": "http://example.org"}, "https://"),
        (["a goal"], {"MLOPS_AGENT__MAX_COST": "1"}, "needs input_price"),
    ],
)
def test_what_cannot_begin_says_why_and_starts_nothing(
    environ: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    variables: dict[str, str],
    says: str,
) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    for name, value in (environ | variables).items():
        monkeypatch.setenv(name, value)
    assert main(["agent", *arguments]) == 2
    assert says in capsys.readouterr().err


def test_the_model_that_is_asked_unless_told_has_a_future() -> None:
    from anthropic._data import DEPRECATED_MODELS

    assert load({}).settings.agent.model not in DEPRECATED_MODELS


def test_a_model_of_the_command_line_counts(environ: dict[str, str]) -> None:
    assert load(environ, {"agent.model": "claude-opus-4-5"}).settings.agent.model == "claude-opus-4-5"
    with pytest.raises(SettingsError, match=r"agent\.model"):
        load(environ, {"agent.model": ""})


def test_the_command_that_goes_on_has_the_state_the_folders_and_the_model_that_there_were() -> None:
    settings = load({}, {"home": "/of a/team", "agent.model": "claude-opus-4-5"}).settings
    asked = Request("train it, she said", roots=("/data", "/more data"))
    passage = Passage([report("model_trainer", "begun", "run:1")], ["model_trainer"])
    command = shlex.split(go_on(settings, asked, passage))
    found = command_line().parse_args(command[1:])
    assert (found.home, found.profile, found.model) == ("/of a/team", "model_trainer", "claude-opus-4-5")
    assert (found.root, found.goal) == (["/data", "/more data"], "train it, she said")
    assert "run:1" in found.known


def test_the_command_that_goes_on_names_those_whose_turn_had_not_come_as_well() -> None:
    settings, asked = load({}).settings, Request("train it")
    left = ["model_trainer", "model_deployer"]
    command = shlex.split(go_on(settings, asked, Passage([report("model_trainer", "begun")], left)))
    named = command_line().parse_args(command[1:]).profile
    assert [agent.name for agent in chosen(named)] == left
    assert "--agent" not in server_of(settings, Request("train it", named)).args
    every = Passage([report("scope_definer", "begun")], [agent.name for agent in AGENTS])
    assert command_line().parse_args(shlex.split(go_on(settings, asked, every))[1:]).profile == PIPELINE


def test_an_agent_that_there_is_not_is_told_among_others() -> None:
    for names in ("model_trainr", "model_trainer,model_trainr", "model_trainer,", ""):
        with pytest.raises(ToolFailure, match="unknown agent"):
            chosen(names)
