"""Whose turn it is, and how much one caller may have."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlops_mcp.config.settings import Settings
from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.runtime.jobs.launch import table_of
from mlops_mcp.tools.runtime.jobs.shares import DAY_S, Quota, Slots
from mlops_mcp.tools.runtime.jobs.submission import Submission
from mlops_mcp.tools.runtime.jobs.table import End, JobRow, JobTable
from mlops_mcp.tools.runtime.models import Budget
from mlops_mcp.tools.tracing.span import Carrier

from .conftest import with_runtime
from .test_table import NEW

FEW = Slots(long=1, short=1, guest=1)


@pytest.fixture
def table(store: Settings) -> JobTable:
    return table_of(store)


def queued(table: JobTable, owner: str, number: int, short: int = 0, scope: str = "") -> list[JobRow]:
    new = replace(NEW, owner=owner, scope=scope, short=short)
    return [table.insert(replace(new, tool=f"{owner}{scope}{each}")) for each in range(number)]


def started(table: JobTable, slots: Slots) -> list[str]:
    """The jobs that there is a slot for, in the order of their start."""
    found: list[str] = []
    while row := table.claim("home", "here", slots):
        found.append(row.tool)
    return found


@pytest.mark.slow
def test_while_one_caller_has_all_slots_another_ones_job_starts(table: JobTable) -> None:
    queued(table, "ann", 60)
    assert started(table, FEW) == ["ann0"]
    bobs = queued(table, "bob", 3)
    assert table.ahead(bobs[0]) == 0
    assert started(table, FEW) == ["bob0"]
    # No more than one guest: a third caller waits, as the next ones of these do.
    queued(table, "eve", 1)
    assert started(table, FEW) == []


@pytest.mark.slow
def test_callers_without_a_token_are_told_apart_by_their_sessions(table: JobTable) -> None:
    queued(table, "", 5, scope="s")
    assert started(table, FEW) == ["s0"]
    queued(table, "", 1, scope="t")
    assert started(table, FEW) == ["t0"]


@pytest.mark.slow
def test_each_turn_is_that_of_who_has_fewer_running_and_the_place_in_the_queue_says_so(table: JobTable) -> None:
    anns, bobs = queued(table, "ann", 5), queued(table, "bob", 2)
    places = {row.tool: table.ahead(row) for row in (*anns, *bobs)}
    assert started(table, Slots(7)) == sorted(places, key=lambda tool: places[tool])
    assert [tool[0] for tool in sorted(places, key=lambda tool: places[tool])] == [*"ababaaa"]


@pytest.mark.slow
def test_a_token_has_no_more_running_than_it_may_and_who_has_none_is_everybody(table: JobTable) -> None:
    queued(table, "ann", 4)
    queued(table, "", 3)
    names = Counter(tool[:-1] for tool in started(table, Slots(9, of_caller=2)))
    assert names == {"ann": 2, "": 3}


@pytest.mark.slow
def test_jobs_of_a_token_run_for_so_long_within_a_day(table: JobTable) -> None:
    def ran(owner: str, began_ago_s: float, ended_ago_s: float) -> None:
        row = queued(table, owner, 1)[0]
        started(table, Slots(99))
        if ended_ago_s:
            table.finish(row.id, 1, End("done"))
        now = time.time()
        with table.backend.open() as db:
            db.execute(
                "update jobs set claimed=?, ended=? where id=?",
                (now - began_ago_s, now - ended_ago_s if ended_ago_s else 0, row.id),
            )

    quota = Quota(seconds=1000)
    ran("ann", 3 * DAY_S, 2 * DAY_S)  # does not count any more
    ran("ann", DAY_S + 500, DAY_S - 300)  # 300 s of it do
    ran("bob", 5000, 0)
    assert table.insert(replace(NEW, owner="ann"), quota=quota).owner == "ann"
    ran("ann", 800, 0)  # it still runs
    with pytest.raises(
        ToolFailure, match=r"jobs of ann have run for 1\d\d\d s within a day, and 1000 s are allowed"
    ) as no:
        table.insert(replace(NEW, owner="ann"), quota=quota)
    assert "runtime.caller_job_s" in str(no.value)
    assert "cancel_job" in str(no.value)
    assert table.insert(replace(NEW, owner="eve"), quota=quota).owner == "eve"
    assert table.insert(NEW, quota=quota).owner == ""


def test_no_job_is_without_a_limit_of_time_and_none_has_more_than_it_may() -> None:
    assert Budget().within(60).seconds == 60
    assert Budget(seconds=5).within(60).seconds == 5
    assert Budget(seconds=0).within(60).seconds == 60
    assert Budget(megabytes=100).within(60) == Budget(seconds=60, megabytes=100)
    assert Budget(seconds=5).within(0).seconds == 5
    assert Budget().within(0).seconds is None
    with pytest.raises(ToolFailure, match=r"61 s is more than a job may take here, which is 60 s \(runtime.job_s\)"):
        Budget(seconds=61).within(60)


def test_a_job_is_queued_with_the_limit_of_time_of_its_server(settings: Settings, hard: Any, tmp_path: Path) -> None:
    def seconds(budget: Budget, job_s: float) -> float | None:
        request = hard.Request(folder=str(tmp_path))
        new = Submission("x", hard.at_once, request, budget=budget).row(with_runtime(settings, job_s=job_s), Carrier())
        return Budget.model_validate_json(new.budget).seconds

    assert settings.runtime.job_s == DAY_S
    assert [seconds(Budget(), 7), seconds(Budget(seconds=5), 7), seconds(Budget(), 0)] == [7, 5, None]
    with pytest.raises(ToolFailure, match=r"runtime\.job_s"):
        seconds(Budget(seconds=8), 7)
