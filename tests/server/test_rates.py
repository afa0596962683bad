"""How many requests one caller may make within a minute."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mlops_mcp.config.settings import Settings
from mlops_mcp.server.rates import MAX_CALLERS, Rates
from mlops_mcp.tools.errors import ToolFailure

from .access.conftest import opened
from .access.test_identities import text_of


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def admitted(rates: Rates, caller: str, calls: int) -> int:
    """How many of so many calls pass."""
    passed = 0
    for _ in range(calls):
        try:
            rates.admit(caller)
        except ToolFailure:
            continue
        passed += 1
    return passed


def test_a_caller_makes_as_many_calls_as_it_may_and_another_one_as_well() -> None:
    clock = Clock()
    rates = Rates(120, clock)
    assert admitted(rates, "ann", 500) == 120
    assert admitted(rates, "bob", 500) == 120
    with pytest.raises(ToolFailure, match=r"120 requests of this caller.*server\.caller_calls\)\. Repeat it in 1 s\."):
        rates.admit("ann")
    assert [rates.used(caller) for caller in ("ann", "bob", "eve")] == [120, 120, 0]
    clock.now = 1
    assert rates.used("ann") == 118
    assert admitted(rates, "ann", 500) == 2
    clock.now = 3600
    assert admitted(rates, "ann", 500) == 120
    unlimited = Rates(0, clock)
    assert (admitted(unlimited, "ann", 500), unlimited.used("ann")) == (500, 0)


def test_callers_that_come_and_go_are_forgotten() -> None:
    rates = Rates(1, Clock())
    for number in range(MAX_CALLERS + 5):
        rates.admit(str(number))
    assert admitted(rates, str(MAX_CALLERS + 4), 1) == 0
    assert len(rates._left) == MAX_CALLERS  # pyright: ignore[reportPrivateUsage]


async def test_over_http_one_call_too_many_is_an_answer_that_says_when_to_come_back(settings: Settings) -> None:
    few = settings.model_copy(update={"server": settings.server.model_copy(update={"caller_calls": 2})})
    async with opened(few) as door:
        ann, bob = door.bearer("ann", "read"), door.bearer("bob", "read")
        answers = [await door.call(ann, "list_jobs") for _ in range(3)]
        assert [bool(answer.get("isError")) for answer in answers] == [False, False, True]
        assert "server.caller_calls" in text_of(answers[2])
        assert "server.caller_calls" in (await door.ask(ann, "resources/read", uri="mlflow://experiments"))["message"]
        assert not (await door.call(bob, "list_jobs")).get("isError")


ASKING: dict[str, dict[str, Any]] = {
    "tools/list": {}, "prompts/list": {}, "resources/list": {}, "resources/templates/list": {}, "server/discover": {},
    "prompts/get": {"name": "train_to_serve", "arguments": {}},
    "completion/complete": {
        "ref": {"type": "ref/resource", "uri": "mlflow://runs/{run_id}"}, "argument": {"name": "run_id", "value": ""}
    },
    "resources/read": {"uri": "mlflow://experiments"},
    "tasks/get": {"taskId": "0"},
    "tasks/cancel": {"taskId": "0"},
    "tasks/update": {"taskId": "0", "inputResponses": {}},
}  # fmt: skip


async def test_every_request_counts_whatever_it_asks_for(settings: Settings) -> None:
    one = settings.model_copy(update={"server": settings.server.model_copy(update={"caller_calls": 1})})
    async with opened(one) as door:
        for number, (method, params) in enumerate(ASKING.items()):
            # A list makes the first request of a caller, so that whatever comes second is one too many.
            bearer = door.bearer(f"caller{number}", "write")
            assert "tools" in await door.ask(bearer, "tools/list")
            refusal = await door.ask(bearer, method, **params)
            assert (method, "(server.caller_calls). Repeat it in" in refusal["message"]) == (method, True)
        for path in ("/metrics", "/readyz"):
            bearer = door.bearer(path.strip("/"), "read")
            assert [(await door.http.get(path, headers=bearer)).status_code for _ in range(2)] == [200, 429]


async def test_of_many_lists_of_one_caller_others_come_between(settings: Settings) -> None:
    async with opened(settings) as door:
        ann, bob = door.bearer("ann", "read"), door.bearer("bob", "read")
        await door.ask(bob, "prompts/list")
        flood = [asyncio.create_task(door.ask(ann, "tools/list")) for _ in range(100)]
        while not any(task.done() for task in flood):
            await asyncio.sleep(0)
        assert (await door.ask(bob, "prompts/list"))["prompts"]
        assert sum(task.done() for task in flood) < 50
        assert all("tools" in answer for answer in await asyncio.gather(*flood))
