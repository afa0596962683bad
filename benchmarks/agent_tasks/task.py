"""What a task is: a set-up, goals in a person's words, and a checker of the final state and the final answer."""

from __future__ import annotations

import json
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .agent import Agent, Refused

Answer = dict[str, Any]
Facts = dict[str, Any]


class Wrong(Exception):
    """The state or the answer is not what the task asked for; the text says in what."""


@dataclass(frozen=True)
class World:
    """A task after its set-up. `facts` are what goals name and what checkers know; agents see the goals alone."""

    folder: Path
    facts: Facts

    def path(self, name: str) -> str:
        return str(self.folder / name)


@dataclass(frozen=True)
class Limits:
    """Tokens are counted at four characters each: `written` in arguments, `read` in answers."""

    calls: int = 8
    written: int = 500
    read: int = 6000


@dataclass(frozen=True)
class Step:
    """What one agent is asked. `{folder}` and the names of facts are filled in; `solve` is the reference solution."""

    goal: str
    solve: Callable[[Agent, World], Awaitable[Answer]]
    profile: str | None = None


@dataclass(frozen=True)
class Task:
    """Steps follow each other, each by an agent that knows nothing of the others, or run `at_once`.

    The answer is one line of JSON with the keys of `answer`, which says what each means. `wrong` is one that somebody
    might give who has looked at nothing.
    """

    name: str
    prepare: Callable[[Agent, Path], Awaitable[Facts]]
    steps: tuple[Step, ...]
    check: Callable[[Agent, World, Answer], Awaitable[None]]
    answer: Mapping[str, str]
    wrong: Answer
    settings: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = Limits()
    at_once: bool = False

    def goal(self, step: Step, world: World) -> str:
        keys = ", ".join(f'"{key}": <{meaning}>' for key, meaning in self.answer.items())
        asked = step.goal.format(folder=world.folder, **world.facts)
        return f"{asked}\nEnd with one line of JSON: {{{keys}}}"

    async def judge(self, steward: Agent, world: World, said: str) -> None:
        """Hold the last words of an agent and the state it left against what was asked.

        Raises:
            Wrong: something is not as it was asked for.
        """
        await self.check(steward, world, read_answer(said, self.answer))


def read_answer(said: str, keys: Mapping[str, str]) -> Answer:
    """The last object of JSON in a text.

    Raises:
        Wrong: there is none, or it lacks a key.
    """
    decoder, found = json.JSONDecoder(), None
    place = said.find("{")
    while place >= 0:
        try:
            found, end = decoder.raw_decode(said, place)
        except (ValueError, RecursionError):
            end = place + 1
        place = said.find("{", end)
    if not isinstance(found, dict):
        raise Wrong("the answer has no JSON")
    if missing := [key for key in keys if key not in found]:
        raise Wrong(f"the answer lacks {', '.join(missing)}")
    return found


def number(answer: Answer, key: str) -> float:
    """
    Raises:
        Wrong: it is no finite number.
    """
    value = answer[key]
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise Wrong(f"{key} is no number: {value!r}")
    return float(value)


def near(answer: Answer, key: str, truth: float, apart: float) -> None:
    """
    Raises:
        Wrong: the number is further from the truth.
    """
    if abs(number(answer, key) - truth) > apart:
        raise Wrong(f"{key} is {answer[key]!r}, not {truth:.6g}")


def between(answer: Answer, key: str, low: float, high: float) -> None:
    """
    Raises:
        Wrong: the number lies outside.
    """
    if not low <= number(answer, key) <= high:
        raise Wrong(f"{key} is {answer[key]!r}, not between {low:.6g} and {high:.6g}")


def same(what: str, said: object, truth: object) -> None:
    """
    Raises:
        Wrong: they differ; true is not 1.
    """
    if said != truth or isinstance(said, bool) != isinstance(truth, bool):
        raise Wrong(f"{what} is {said!r}, not {truth!r}")


def text(answer: Answer, key: str) -> str:
    """
    Raises:
        Wrong: it is no text.
    """
    if not isinstance(answer[key], str) or not answer[key]:
        raise Wrong(f"{key} is no text: {answer[key]!r}")
    return str(answer[key])


async def look(steward: Agent, tool: str, **arguments: Any) -> dict[str, Any]:
    """What the state holds of a handle that an answer names.

    Raises:
        Wrong: nothing.
    """
    try:
        return await steward.call(tool, **arguments)
    except Refused as refusal:
        raise Wrong(f"it is not there: {refusal}") from refusal


def first(found: dict[str, Any]) -> dict[str, Any]:
    """The first row of what query_dataset has made."""
    return dict(found["first_rows"][0])


async def history_of(steward: Agent, handle: str) -> dict[str, Any]:
    """Raises Wrong where there is no such thing."""
    return await look(steward, "get_lineage", handle=handle, limit=100)


def written(folder: Path, name: str, frame: Any) -> str:
    frame.to_csv(folder / f"{name}.csv", index=False)
    return str(folder / f"{name}.csv")
