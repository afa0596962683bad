"""Who waits for whom: slots for long work, one more for short work, and what a waiting job is told."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from mlops_mcp.config.settings import Settings
from mlops_mcp.tools.runtime.jobs.alive import machine
from mlops_mcp.tools.runtime.jobs.launch import table_of
from mlops_mcp.tools.runtime.jobs.queue import Jobs
from mlops_mcp.tools.runtime.jobs.shares import Slots
from mlops_mcp.tools.runtime.jobs.submission import Submission
from mlops_mcp.tools.runtime.models import Budget

from ...waiting import eventually
from .conftest import ended, with_runtime

pytestmark = pytest.mark.slow


async def test_a_queued_job_says_why_it_waits_its_place_and_what_runs(
    settings: Settings, hard: Any, tmp_path: Path
) -> None:
    jobs = Jobs(with_runtime(settings, preload="never"))
    gate = tmp_path / "gate"
    first = await jobs.submit(Submission("tune_model", hard.steps, hard.Request(folder=str(tmp_path), gate=str(gate))))
    waiting = [await jobs.submit(Submission("x", hard.at_once, hard.Request(folder=str(tmp_path)))) for _ in range(2)]
    await eventually(lambda: table_of(settings).get(first.id).progress)
    places = [await jobs.place_in_queue(row) for row in waiting]
    assert [place.position for place in places] == [1, 2]
    assert places[0].running[0].startswith(f"job:{first.id} tune_model")
    assert "step" in places[0].running[0]
    assert "runtime.job_slots" in places[0].reason
    short = await jobs.submit(Submission("y", hard.at_once, hard.Request(folder=str(tmp_path)), short=True))
    assert (await ended(jobs, short)).state == "done"
    hurried = await jobs.submit(
        Submission("z", hard.at_once, hard.Request(folder=str(tmp_path)), budget=Budget(seconds=30))
    )
    assert (await ended(jobs, hurried)).state == "done"
    assert {(await jobs.get(row.id)).state for row in waiting} == {"queued"}
    gate.touch()
    for row in waiting:
        assert (await ended(jobs, row)).state == "done"


async def test_a_claimed_job_that_has_not_started_yet_is_not_lost_when_the_clock_jumps(
    settings: Settings, hard: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs, table = Jobs(with_runtime(settings, preload="never")), table_of(settings)
    monkeypatch.setattr("mlops_mcp.tools.runtime.jobs.queue.launch_next", lambda *_: {})
    row = await jobs.submit(Submission("x", hard.at_once, hard.Request(folder=str(tmp_path))))
    claimed = table.claim(row.home, machine(), Slots(1))
    assert claimed is not None
    with monkeypatch.context() as ahead:
        ahead.setattr("time.time", lambda: claimed.claimed + 3600.0)
        await jobs.reconcile()
    assert (await jobs.get(row.id)).state == "running"


async def test_what_is_known_of_leases_goes_with_their_jobs(settings: Settings, hard: Any, tmp_path: Path) -> None:
    jobs = Jobs(with_runtime(settings, preload="never"))
    jobs._leases = {("gone", 1): (0.0, 0.0)}  # pyright: ignore[reportPrivateUsage]
    await jobs.submit(Submission("x", hard.at_once, hard.Request(folder=str(tmp_path))))
    await jobs.reconcile()
    assert ("gone", 1) not in jobs._leases  # pyright: ignore[reportPrivateUsage]


async def test_a_job_that_comes_to_life_while_it_is_looked_at_is_not_lost(
    settings: Settings, hard: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs, table = Jobs(with_runtime(settings, preload="never")), table_of(settings)
    monkeypatch.setattr("mlops_mcp.tools.runtime.jobs.queue.launch_next", lambda *_: {})
    row = await jobs.submit(Submission("x", hard.at_once, hard.Request(folder=str(tmp_path))))
    assert table.claim(row.home, machine(), Slots(1))

    def held_just_not(_path: Path) -> bool:
        table.started(row.id, 1, os.getpid())
        return False

    monkeypatch.setattr("mlops_mcp.tools.runtime.jobs.queue.held", held_just_not)
    assert (await jobs.get(row.id)).attempt == 1
    assert table.get(row.id).state == "running"


async def test_a_long_job_waits_behind_the_short_ones_before_it_and_a_short_one_behind_no_long_one(
    settings: Settings, hard: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlops_mcp.tools.runtime.jobs.queue.launch_next", lambda *_: {})
    jobs, request = Jobs(settings), hard.Request(folder=str(tmp_path))
    kinds = (True, True, False, True)
    rows = [await jobs.submit(Submission("x", hard.at_once, request, short=short)) for short in kinds]
    assert [(await jobs.place_in_queue(row)).position for row in rows] == [1, 2, 3, 3]
