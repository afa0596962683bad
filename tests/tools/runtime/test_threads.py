"""Calls that wait in threads of the server: all are answered, in turn, and none is left when it ends."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from threading import Event, Lock

import pytest

from mlops_mcp.config.settings import Settings
from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.runtime.calls import threads as module
from mlops_mcp.tools.runtime.calls.threads import MOST, USUAL, Threads
from mlops_mcp.tools.runtime.identity import in_lane
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.tracing.span import Span

from ...waiting import eventually


class Gate:
    """What holds calls until it is opened, and counts those that it holds."""

    def __init__(self) -> None:
        self.open = Event()
        self.held = Counter[str]()
        self.order: list[str] = []
        self.most = 0
        self._now = 0
        self._lock = Lock()

    def hold(self, _: Work, lane: str) -> str:
        with self._lock:
            self.held[lane] += 1
            self.order.append(lane)
            self._now += 1
            self.most = max(self.most, self._now)
        assert self.open.wait(600)
        with self._lock:
            self._now -= 1
        return lane

    def close(self) -> None:
        self.open.set()


@pytest.fixture
def spans() -> list[Span]:
    return []


@pytest.fixture
async def threads(settings: Settings, spans: list[Span]) -> AsyncGenerator[Threads]:
    made = Threads(settings, spans.append)
    yield made
    made.close()


def start(threads: Threads, gate: Gate, lane: str) -> asyncio.Task[str]:
    with in_lane(lane):
        return asyncio.create_task(threads.run("serving", gate.hold, lane))


async def test_a_thousand_calls_at_once_are_all_answered_and_a_few_run_at_a_time(threads: Threads) -> None:
    gate = Gate()
    tasks = [start(threads, gate, "ann") for _ in range(1000)]
    await eventually(lambda: gate.held["ann"] == USUAL)
    gate.open.set()
    assert await asyncio.gather(*tasks) == ["ann"] * 1000
    assert gate.most == USUAL


async def test_who_comes_later_waits_for_one_call_of_another_and_not_for_all(threads: Threads) -> None:
    gate = Gate()
    many = [start(threads, gate, "ann") for _ in range(200)]
    await eventually(lambda: gate.held["ann"] == USUAL)
    few = [start(threads, gate, lane) for lane in ("bob", "cid") for _ in range(3)]
    # They get threads that the first caller may not have, though all of that one's are held.
    await eventually(lambda: gate.held["bob"] and gate.held["cid"])
    gate.open.set()
    await asyncio.gather(*many, *few)
    last = max(place for place, lane in enumerate(gate.order) if lane != "ann")
    assert last < USUAL + 2 * MOST


async def test_a_call_that_is_given_up_while_it_waits_is_never_made_and_holds_nobody_up(threads: Threads) -> None:
    gate = Gate()
    held = [start(threads, gate, "ann") for _ in range(USUAL)]
    await eventually(lambda: gate.held["ann"] == USUAL)
    waiting = start(threads, gate, "ann")
    await asyncio.sleep(0)
    waiting.cancel()
    # One that runs is not waited for, and its thread is free when it ends by itself.
    held[0].cancel()
    await asyncio.wait([waiting, held[0]])
    gate.open.set()
    await asyncio.gather(*held[1:])
    assert await start(threads, gate, "ann") == "ann"
    assert gate.held["ann"] == USUAL + 1


async def test_more_than_may_wait_are_refused(threads: Threads, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 3)
    gate = Gate()
    tasks = [start(threads, gate, "ann") for _ in range(USUAL + 3)]
    await eventually(lambda: gate.held["ann"] == USUAL)
    with pytest.raises(ToolFailure, match="3 calls of this caller wait"):
        await start(threads, gate, "ann")
    gate.open.set()
    await asyncio.gather(*tasks)


async def test_what_a_call_raises_and_its_spans_come_back(threads: Threads, spans: list[Span]) -> None:
    def refuse(work: Work) -> None:
        with work.tracer.span("ask service"):
            raise ToolFailure("no", "Not so.")

    with pytest.raises(ToolFailure, match=r"no\. Not so\."):
        await threads.run("serving", refuse)
    assert [span.name for span in spans] == ["ask service"]


async def test_the_end_of_the_server_closes_what_calls_keep_and_so_ends_those_that_wait(settings: Settings) -> None:
    threads, gates = Threads(settings, lambda _: None), list[Gate]()

    def hold(work: Work) -> str:
        gates.append(work.once(lambda _: Gate()))
        return gates[0].hold(work, "ann")

    call = asyncio.create_task(threads.run("serving", hold))
    await eventually(lambda: bool(gates))
    threads.close()
    assert await call == "ann"
