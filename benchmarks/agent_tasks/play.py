"""Plays a task with an agent and judges what came of it."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .agent import agent_in
from .task import Limits, Step, Task, World, Wrong


@dataclass(frozen=True)
class Said:
    """An agent's last words, and what it took."""

    answer: str
    calls: int
    written: float
    read: float


@dataclass(frozen=True)
class Place:
    """Where a step is played: the settings and the profile are those of the server that the agent may use."""

    task: Task
    step: Step
    world: World

    @property
    def arguments(self) -> tuple[str, ...]:
        return ("--agent", self.step.profile) if self.step.profile else ()

    @property
    def goal(self) -> str:
        return self.task.goal(self.step, self.world)


Player = Callable[[Place], Coroutine[Any, Any, Said]]


@dataclass(frozen=True)
class Score:
    """`why` is empty where the answer and the state are right. Tokens are at four characters each."""

    task: str
    passed: bool
    calls: int
    written: int
    read: int
    seconds: float
    why: str

    def row(self) -> dict[str, Any]:
        return asdict(self)


async def play(task: Task, player: Player) -> Score:
    """Set a task up in a folder of its own, let the agent work there, and judge."""
    with tempfile.TemporaryDirectory(prefix="agent-task-") as name:
        folder = Path(name).resolve()
        async with AsyncExitStack() as stack:
            steward = await stack.enter_async_context(agent_in(folder, task.settings))
            world = World(folder, await task.prepare(steward, folder))
            began = time.monotonic()
            said = await asked(task, world, player)
            seconds = time.monotonic() - began
            why = await fault(task, world, steward, said)
            await end_services(steward)
    return scored(task, said, seconds, why)


async def asked(task: Task, world: World, player: Player) -> list[Said]:
    places = [Place(task, step, world) for step in task.steps]
    if task.at_once:
        return list(await asyncio.gather(*(player(place) for place in places)))
    return [await player(place) for place in places]


async def fault(task: Task, world: World, steward: Any, said: list[Said]) -> str:
    """What is wrong with the state or with an answer that counts: the last, or each of those at once."""
    try:
        for each in said if task.at_once else said[-1:]:
            await task.judge(steward, world, each.answer)
    except Wrong as wrong:
        return str(wrong)
    return ""


async def end_services(steward: Any) -> None:
    for endpoint in (await steward.call("list_endpoints", limit=100))["items"]:
        await steward.call("stop_endpoint", endpoint=endpoint["endpoint"])


def scored(task: Task, said: list[Said], seconds: float, why: str) -> Score:
    """Limits hold for each agent by itself; the score is of all of them together."""
    why = why or next((beyond for each in said if (beyond := beyond_limits(each, task.limits))), "")
    calls, written, read = (sum(getattr(each, name) for each in said) for name in ("calls", "written", "read"))
    return Score(task.name, not why, calls, round(written), round(read), round(seconds, 1), why)


def beyond_limits(said: Said, limits: Limits) -> str:
    for name in ("calls", "written", "read"):
        if getattr(said, name) > getattr(limits, name):
            return f"{name} {getattr(said, name):.0f} of at most {getattr(limits, name)}"
    return ""
