"""A keyed call is done once; repeating it gives the first answer."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from mcp.types import CallToolResult, TextContent

from mlops_mcp.server.idempotency import Answers
from mlops_mcp.tools.errors import ToolFailure


class Counter:
    """Answers how often it was run."""

    def __init__(self) -> None:
        self.runs = 0

    async def __call__(self) -> CallToolResult:
        self.runs += 1
        return CallToolResult(content=[TextContent(text=str(self.runs))], structured_content={"runs": self.runs})


def failing(error: BaseException) -> Callable[[], Awaitable[CallToolResult]]:
    async def run() -> CallToolResult:
        raise error

    return run


@pytest.fixture
def answers(tmp_path: Path) -> Answers:
    return Answers(tmp_path)


async def test_the_same_key_and_arguments_give_the_first_answer_even_after_a_restart(
    answers: Answers, tmp_path: Path
) -> None:
    run = Counter()
    first = await answers.once("register_model", "k", '{"a":1}', run)
    again = await Answers(tmp_path).once("register_model", "k", '{"a":1}', run)
    assert again == first
    assert run.runs == 1


async def test_a_key_belongs_to_its_tool_and_to_its_arguments(answers: Answers) -> None:
    run = Counter()
    await answers.once("register_model", "k", '{"a":1}', run)
    await answers.once("create_suite", "k", '{"a":1}', run)
    assert run.runs == 2
    with pytest.raises(ToolFailure, match="used before with other arguments"):
        await answers.once("register_model", "k", '{"a":2}', run)


@pytest.mark.parametrize("error", [ToolFailure("no"), RuntimeError("boom"), asyncio.CancelledError()])
async def test_a_call_that_failed_or_was_cancelled_does_not_use_up_its_key(
    answers: Answers, error: BaseException
) -> None:
    with pytest.raises(type(error)):
        await answers.once("register_model", "k", "{}", failing(error))
    run = Counter()
    await answers.once("register_model", "k", "{}", run)
    assert run.runs == 1


async def test_while_the_first_call_runs_its_repetitions_wait_for_its_answer(answers: Answers) -> None:
    started, release = asyncio.Event(), asyncio.Event()
    run = Counter()

    async def slow() -> CallToolResult:
        started.set()
        await release.wait()
        return await run()

    first = asyncio.create_task(answers.once("register_model", "k", "{}", slow))
    await started.wait()
    others = [asyncio.create_task(answers.once("register_model", "k", "{}", run)) for _ in range(8)]
    release.set()
    assert {(await task).content[0].model_dump_json() for task in (first, *others)} == {
        (await first).content[0].model_dump_json()
    }
    assert run.runs == 1


async def test_a_first_call_that_vanished_with_its_server_frees_its_key_at_once(
    answers: Answers, tmp_path: Path
) -> None:
    run = Counter()
    await answers.once("register_model", "k", "{}", run)
    with sqlite3.connect(tmp_path / "answers.db") as db:
        db.execute("update answers set answer=null, owner='999999999:1.00'")
    await answers.once("register_model", "k", "{}", run)
    assert run.runs == 2
