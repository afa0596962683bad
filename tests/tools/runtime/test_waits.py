"""How long a caller is kept waiting, by its name and by what was seen of it."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest

from mlops_mcp.config.load import load
from mlops_mcp.tools.runtime.waits import BY_HAND_S, MAX_CALLERS, Caller, WaitLimit, WaitPolicy

NAMES = {"mcp": 3.5, "cursor*": 45.0, "cursor-old*": 8.0, "visual?studio?code*": 40.0}
CALLER = Caller("somebody", "unheard of")


@pytest.fixture
def policy() -> WaitPolicy:
    return WaitPolicy(20, NAMES)


@pytest.mark.parametrize(
    ("client", "seconds"),
    [
        ("mcp", 3.5),
        ("MCP", 3.5),
        ("mcp-remote", 20),
        ("", 20),
        ("Cursor", 45),
        ("cursor-vscode (via mcp-remote 0.1.37)", 45),
        ("cursor-old-1", 8),
        ("Visual Studio Code - Insiders", 40),
        ("Visual-Studio-Code", 40),
        ("[*", 20),
    ],
)
def test_the_longest_name_that_fits_says_what_a_client_bears(policy: WaitPolicy, client: str, seconds: float) -> None:
    assert policy.limit(Caller("x", client)).bears_s == seconds


def test_a_caller_that_gave_up_is_kept_waiting_for_less_and_no_other_one_is(policy: WaitPolicy) -> None:
    policy.gave_up(CALLER, 10)
    policy.gave_up(CALLER, 12)
    assert policy.limit(CALLER).bears_s == policy.limit(CALLER).most_s == pytest.approx(7)
    assert policy.limit(Caller("other", CALLER.client)).bears_s == 20


def test_what_was_seen_never_makes_a_wait_longer_than_the_name_says(policy: WaitPolicy) -> None:
    impatient = Caller("x", "mcp")
    policy.answered(impatient, 40)
    policy.gave_up(impatient, 50)
    limit = policy.limit(impatient)
    assert (limit.bears_s, limit.most_s) == (3.5, 40)


def test_an_answer_that_was_taken_after_a_while_says_what_is_borne(policy: WaitPolicy) -> None:
    policy.gave_up(CALLER, 10)
    policy.answered(CALLER, 9)
    assert policy.limit(CALLER).bears_s == 9
    policy.answered(CALLER, 15)  # so nobody had to give up after 10
    assert policy.limit(CALLER).bears_s == 20


def test_a_call_that_is_stopped_by_hand_is_no_time_out(policy: WaitPolicy) -> None:
    policy.gave_up(CALLER, BY_HAND_S - 0.1)
    policy.answered(CALLER, 30)
    policy.gave_up(CALLER, 25)
    assert policy.limit(CALLER).most_s == math.inf


def test_only_so_many_callers_are_remembered(policy: WaitPolicy) -> None:
    policy.gave_up(CALLER, 10)
    for number in range(MAX_CALLERS):
        policy.gave_up(Caller(str(number)), 10)
    assert policy.limit(CALLER).most_s == math.inf
    assert policy.limit(Caller(str(MAX_CALLERS - 1))).most_s == pytest.approx(7)


def test_what_is_asked_for_holds_as_far_as_it_is_borne_and_is_said_to_be_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    limit, clock = WaitLimit(3.5, 10, 7, begun=100), [101.0]
    monkeypatch.setattr("mlops_mcp.tools.runtime.waits.time", SimpleNamespace(monotonic=lambda: clock[0]))
    assert [limit.wait_s(asked) for asked in (None, 0, 5, 50)] == [2.5, 0, 4, 6]
    assert [bool(limit.cut(asked)) for asked in (None, 0, 7, 50)] == [False, False, False, True]
    assert limit.cut(50) == "waited 7.0 s at most, since this client gave up a call after 10.0 s"
    assert limit.in_time
    clock[0] = 103.6
    assert (limit.wait_s(None), limit.in_time) == (0, False)


def test_every_shipped_wait_leaves_room_below_the_time_out_of_its_client() -> None:
    runtime = load({"MLOPS_HOME": "/tmp"}).settings.runtime
    policy = WaitPolicy(runtime.wait_s, runtime.client_waits)
    time_outs = {
        "mcp": 5, "something else": 30, "mcp-inspector": 10, "claude-ai": 60, "claude-code": 60, "codex-mcp-client": 60,
        "cursor-vscode": 60, "Visual Studio Code": 60, "gemini-cli-mcp-client-mlops": 600, "windsurf-client": 60,
        "Zed": 60, "Cline": 60, "Roo-Code": 60, "goose": 300, "JetBrains-IU-copilot-intellij": 60,
    }  # fmt: skip
    latest = {name: policy.limit(Caller("", name)).latest_s for name in time_outs}
    assert {name for name in time_outs if latest[name] > time_outs[name]} == set()
    assert latest["claude-code"] > latest["something else"] > latest["mcp"]


def test_who_bears_hardly_less_than_made_it_give_up_is_answered_before_that(policy: WaitPolicy) -> None:
    policy.gave_up(CALLER, 10)
    policy.answered(CALLER, 9)
    assert policy.limit(CALLER).latest_s < 10


def test_all_sessions_of_a_client_at_its_address_are_borne_alike(policy: WaitPolicy) -> None:
    policy.gave_up(Caller("one session", "x", "x at home"), 10)
    assert policy.limit(Caller("another", "x", "x at home")).bears_s == pytest.approx(7)
    assert policy.limit(Caller("another", "x", "x abroad")).bears_s == 20
