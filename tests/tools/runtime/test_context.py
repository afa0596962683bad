"""The two doors of a tool: a short call, and a job that is waited for."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import AsyncGenerator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlops_mcp.config.settings import Settings
from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.runtime.calls.executor import CallExecutor
from mlops_mcp.tools.runtime.calls.pool import BEARABLE
from mlops_mcp.tools.runtime.context import ToolContext
from mlops_mcp.tools.runtime.jobs.queue import Jobs
from mlops_mcp.tools.runtime.waits import WaitLimit

pytestmark = pytest.mark.slow

SLOW = """
import time
from pathlib import Path
from pydantic import BaseModel
from mlops_mcp.tools.errors import ToolFailure

class Request(BaseModel):
    gate: str
    failure: str = ""

class Result(BaseModel):
    auc: float

def train(work, request: Request) -> Result:
    work.progress(1, 3, "trial 1", best=0.5)
    while not Path(request.gate).exists(): time.sleep(0.01)
    if request.failure: raise ToolFailure(request.failure, "Try another.")
    work.progress(3, 3, "trial 3", best=0.9)
    return Result(auc=0.9)

def double(work, number): return 2 * number

def bears(work): return work.bears_until - time.monotonic()
"""


class Told(list[tuple[float, float, str]]):
    """Remembers what the caller was told, and opens a gate at the first word."""

    gate: Path | None = None

    async def __call__(self, done: float, total: float, message: str) -> None:
        self.append((done, total, message))
        if self.gate:
            self.gate.touch()


@pytest.fixture
def slow(probes: Callable[[str, str], Any]) -> Any:
    return probes("slow", SLOW)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
async def context(settings: Settings, told: Told) -> AsyncGenerator[ToolContext]:
    calls = CallExecutor(settings, lambda _span: None)

    async def settle() -> None: ...

    yield ToolContext(calls, Jobs(settings), "train_model", "slow", told, settle)
    await asyncio.to_thread(calls.close)


async def test_a_short_call_returns_the_value(context: ToolContext, slow: Any) -> None:
    assert await context.call(slow.double, 21) == 42


async def test_a_short_call_is_told_how_long_its_caller_bears_to_wait(
    context: ToolContext, slow: Any, settings: Settings
) -> None:
    most = BEARABLE * settings.runtime.call_timeout_s
    borne = [await replace(context, limit=WaitLimit(bears_s)).call(slow.bears) for bears_s in (0.0, 40.0, math.inf)]
    assert borne[0] <= 0 < borne[1] <= 40 < borne[2] <= most
    assert await context.calls.call("slow", slow.bears) <= 0, "nobody is known to wait"


async def test_a_job_that_ends_in_time_returns_its_typed_result_and_told_its_progress(
    context: ToolContext, slow: Any, told: Told, tmp_path: Path
) -> None:
    told.gate = tmp_path / "gate"
    view = await context.submit(slow.train, slow.Request(gate=str(told.gate)), 120)
    assert view.model_dump(exclude={"job", "seconds"}, exclude_none=True) == {
        "tool": "train_model",
        "state": "done",
        "result": {"auc": 0.9},
    }
    assert isinstance(view.result, slow.Result)
    assert told == [(1, 3, "trial 1, best 0.5")]


async def test_a_job_that_takes_longer_says_how_far_it_is_and_what_to_call_next(
    context: ToolContext, slow: Any, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    view = await context.submit(slow.train, slow.Request(gate=str(gate)), 0)
    assert view.state in ("queued", "running")
    assert view.next == f"get_job(job='{view.job}')"
    gate.touch()
    later = await context.follow(view.job.removeprefix("job:"), 120)
    assert (later.state, later.result, later.next) == ("done", slow.Result(auc=0.9), None)


async def test_a_job_that_fails_is_a_failure_that_names_the_job(
    context: ToolContext, slow: Any, tmp_path: Path
) -> None:
    (tmp_path / "gate").touch()
    request = slow.Request(gate=str(tmp_path / "gate"), failure="no such column 'x'")
    message = re.escape("(train_model) failed. no such column 'x'. Try another.")
    with pytest.raises(ToolFailure, match=rf"^job:\w+ {message}$"):
        await context.submit(slow.train, request, 120)


async def test_a_caller_that_stops_waiting_does_not_stop_the_job(
    context: ToolContext, slow: Any, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    waiting = asyncio.create_task(context.submit(slow.train, slow.Request(gate=str(gate)), 120))
    async with asyncio.timeout(600):
        while not (rows := (await context.jobs.page(1, None, "running"))[0]):
            await asyncio.sleep(0.01)
    waiting.cancel()
    await asyncio.wait([waiting])
    gate.touch()
    assert (await context.follow(rows[0].id, 120)).state == "done"
