"""The calls that run: who is told that his goes on, who gets the answer of an earlier one, and whose is ended."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from mlops_mcp.server.arguments import CallArguments
from mlops_mcp.server.in_flight import MAX_KEPT, Asked, CallsInFlight
from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.runtime.waits import BY_HAND_S, Caller, WaitLimit, WaitPolicy

CALLER = Caller("somebody", "x")


class Slow:
    """A tool that answers when it is let."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.begun = asyncio.Event()
        self.runs = self.ended = 0
        self.limit = WaitLimit()

    async def __call__(self, asked: Asked) -> str:
        self.runs += 1
        self.limit = asked.limit
        self.begun.set()
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.ended += 1
            raise
        return f"answer {self.runs}"


async def no() -> bool:
    return False


async def yes() -> bool:
    return True


def asked(
    waits: WaitPolicy,
    passed_s: float = 0,
    waiting: bool = False,
    gone: Any = no,
    caller: Caller = CALLER,
    keep_s: float = 600,
    **given: Any,
) -> Asked:
    """A call that began some time ago."""
    limit = waits.limit(caller)
    begun = WaitLimit(limit.bears_s, limit.given_up_s, limit.most_s, time.monotonic() - passed_s)
    return Asked(caller, "query", CallArguments({}, f"select 1 {given}"), begun, gone, waiting, keep_s)


def dated(answer: str, seconds: float) -> str:
    return f"{answer}, {seconds:.0f} s old"


@pytest.fixture
def waits() -> WaitPolicy:
    return WaitPolicy(20, {})


@pytest.fixture
def calls(waits: WaitPolicy) -> CallsInFlight[str]:
    return CallsInFlight(waits, dated)


async def started(calls: CallsInFlight[str], call: Asked, slow: Slow) -> asyncio.Task[str]:
    slow.begun.clear()
    task = asyncio.create_task(calls.answer(call, slow))
    await slow.begun.wait()
    return task


async def test_a_caller_that_gave_up_before_is_told_in_time_and_fetches_the_answer(
    calls: CallsInFlight[str], waits: WaitPolicy
) -> None:
    slow = Slow()
    waits.gave_up(CALLER, 10)
    with pytest.raises(ToolFailure, match=r"^query takes longer .* and goes on\. Repeat the same call for its answer"):
        await calls.answer(asked(waits, passed_s=100), slow)
    with pytest.raises(ToolFailure, match="goes on"):
        await calls.answer(asked(waits, passed_s=100), slow)
    slow.gate.set()
    assert await calls.answer(asked(waits), slow) == "answer 1, 100 s old"
    assert await calls.answer(asked(waits), slow) == "answer 2"  # it was taken, so this is another call


async def test_a_caller_that_never_gave_up_waits_as_long_as_it_takes(
    calls: CallsInFlight[str], waits: WaitPolicy
) -> None:
    slow = Slow()
    task = await started(calls, asked(waits, passed_s=1000), slow)
    await asyncio.sleep(0)
    assert not task.done()
    slow.gate.set()
    assert await task == "answer 1"


async def test_the_same_call_while_the_first_has_long_run_gets_its_answer_and_shortens_the_waits(
    calls: CallsInFlight[str], waits: WaitPolicy
) -> None:
    slow = Slow()
    first = await started(calls, asked(waits, passed_s=10), slow)
    second = asyncio.create_task(calls.answer(asked(waits), slow))
    await asyncio.sleep(0)
    assert waits.limit(CALLER).bears_s == pytest.approx(7, abs=1)
    slow.gate.set()
    assert [await first, await second] == ["answer 1", "answer 1, 10 s old"]
    assert waits.limit(CALLER).bears_s == pytest.approx(7, abs=1)  # the late answer to the first says nothing
    assert await calls.answer(asked(waits), slow) == "answer 2"


@pytest.mark.parametrize(
    "other",
    [
        {},
        {"sql": "select 2"},
        {"caller": Caller("another", "x"), "passed_s": 0},
        {"waiting": True},
    ],
    ids=["at once", "other arguments", "another caller", "a tool that waits by itself"],
)
async def test_any_other_call_runs_by_itself(
    calls: CallsInFlight[str], waits: WaitPolicy, other: dict[str, Any]
) -> None:
    slow = Slow()
    first = await started(calls, asked(waits, passed_s=BY_HAND_S * 3 if other else 0), slow)
    second = await started(calls, asked(waits, **other), slow)
    slow.gate.set()
    await asyncio.gather(first, second)
    assert slow.runs == 2


async def test_the_repeated_call_itself_waits_for_less_already(calls: CallsInFlight[str], waits: WaitPolicy) -> None:
    slow = Slow()
    first = await started(calls, asked(waits, passed_s=10, waiting=True), slow)
    second = await started(calls, asked(waits, waiting=True), slow)
    assert slow.limit.most_s == pytest.approx(7, abs=1)
    slow.gate.set()
    await asyncio.gather(first, second)


async def test_cancelling_ends_the_work_and_shortens_the_waits(calls: CallsInFlight[str], waits: WaitPolicy) -> None:
    slow = Slow()
    task = await started(calls, asked(waits, passed_s=10), slow)
    task.cancel()
    await asyncio.wait([task])
    assert (task.cancelled(), slow.ended) == (True, 1)
    assert waits.limit(CALLER).bears_s == pytest.approx(7, abs=1)


async def test_a_call_that_its_caller_was_told_goes_on_is_not_ended_by_the_next_time_out(
    calls: CallsInFlight[str], waits: WaitPolicy
) -> None:
    slow = Slow()
    waits.gave_up(CALLER, 10)
    with pytest.raises(ToolFailure, match="goes on"):
        await calls.answer(asked(waits, passed_s=100), slow)
    task = asyncio.create_task(calls.answer(asked(waits), slow))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    slow.gate.set()
    assert (await calls.answer(asked(waits), slow), slow.ended) == ("answer 1, 100 s old", 0)


async def test_an_answer_whose_connection_is_closed_is_kept_for_the_same_call(
    calls: CallsInFlight[str], waits: WaitPolicy
) -> None:
    slow = Slow()
    slow.gate.set()
    await calls.answer(asked(waits, passed_s=10, gone=yes), slow)
    assert waits.limit(CALLER).bears_s == pytest.approx(7, abs=1)
    assert await calls.answer(asked(waits), slow) == "answer 1, 10 s old"
    assert await calls.answer(asked(waits), slow) == "answer 2"


async def test_a_call_that_is_made_again_while_it_is_being_ended_runs_anew(
    calls: CallsInFlight[str], waits: WaitPolicy
) -> None:
    held = asyncio.Event()

    async def slow_to_end(_asked: Asked) -> str:
        try:
            await asyncio.Event().wait()
        finally:
            await held.wait()
        return ""

    first = asyncio.create_task(calls.answer(asked(waits, passed_s=10), slow_to_end))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    slow = Slow()
    slow.gate.set()
    assert await calls.answer(asked(waits), slow) == "answer 1"
    held.set()
    await asyncio.wait([first])
    assert first.cancelled()


async def test_only_so_many_answers_of_one_caller_are_kept(calls: CallsInFlight[str], waits: WaitPolicy) -> None:
    slow = Slow()
    slow.gate.set()
    for number in range(MAX_KEPT + 1):
        await calls.answer(asked(waits, gone=yes, sql=str(number)), slow)
    await asyncio.sleep(0)
    assert await calls.answer(asked(waits, sql="1"), slow) == "answer 2, 0 s old"
    assert await calls.answer(asked(waits, sql="0"), slow) == f"answer {MAX_KEPT + 2}"


async def test_a_failure_arrives_as_it_is(calls: CallsInFlight[str], waits: WaitPolicy) -> None:
    async def fail(_asked: Asked) -> str:
        raise ToolFailure("no such column", "Try another.")

    with pytest.raises(ToolFailure, match="no such column"):
        await calls.answer(asked(waits), fail)


async def test_nothing_is_kept_of_a_call_that_was_answered_or_never_fetched(waits: WaitPolicy) -> None:
    calls, slow = CallsInFlight[str](waits, dated), Slow()
    slow.gate.set()
    await calls.answer(asked(waits, gone=yes, keep_s=0), slow)
    for _ in range(5):  # turns of the loop
        await asyncio.sleep(0)
    assert await calls.answer(asked(waits), slow) == "answer 2"
