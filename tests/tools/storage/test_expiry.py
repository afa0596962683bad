"""What is too old is so by a clock that nobody can set."""

from __future__ import annotations

import time

import pytest

from mlops_mcp.config.settings import Settings
from mlops_mcp.tools.runtime.jobs.launch import log_path, table_of
from mlops_mcp.tools.runtime.jobs.queue import Jobs
from mlops_mcp.tools.runtime.jobs.shares import Slots
from mlops_mcp.tools.runtime.jobs.table import End, NewJob
from mlops_mcp.tools.storage.expiry import DAY_S, Expiry

NEW = NewJob(
    tool="x", toolset="", function="a:b", request="{}", attempts=1, trace_id="t", span_id="s", idempotency=None,
    settings="{}", folder="/", home="other", budget="{}",
)  # fmt: skip


def ended(settings: Settings, days_ago: float) -> str:
    table = table_of(settings)
    row = table.insert(NEW)
    assert table.claim("other", "here", Slots(9))
    assert table.finish(row.id, 1, End("done", "1"))
    with table.backend.open() as db:
        db.execute("update jobs set ended=? where id=?", (time.time() - days_ago * DAY_S, row.id))
    return row.id


def test_nothing_is_too_old_while_nothing_is_known() -> None:
    assert Expiry(1).before(0) == 0


def test_the_wall_clock_counts_where_it_is_behind_the_newest_row() -> None:
    now = time.time()
    assert Expiry(1).now(now + 5 * DAY_S) == pytest.approx(now, abs=DAY_S)


def test_a_clock_that_is_set_ahead_counts_from_the_newest_row(monkeypatch: pytest.MonkeyPatch) -> None:
    expiry, newest = Expiry(30), time.time() - DAY_S
    monkeypatch.setattr(time, "time", lambda: newest + 60 * DAY_S)
    assert expiry.before(newest) == pytest.approx(newest - 30 * DAY_S, abs=DAY_S)
    # A row that was written with the wrong clock changes nothing either.
    assert expiry.before(newest + 60 * DAY_S) == pytest.approx(newest - 30 * DAY_S, abs=DAY_S)


async def test_old_jobs_are_deleted_but_not_because_a_clock_was_set_ahead(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, young, last = (ended(settings, days) for days in (settings.runtime.keep_days + 2, 2, 1))
    with monkeypatch.context() as ahead:
        ahead.setattr(time, "time", lambda: 4e9)
        await Jobs(settings).reconcile()
    kept = {row.id for row in table_of(settings).recent(9)}
    assert (kept, old in kept) == ({young, last}, False)


async def test_the_log_of_a_job_is_bounded(settings: Settings) -> None:
    ended(settings, 0)
    log = log_path(settings, "x")
    log.parent.mkdir(exist_ok=True)
    log.write_bytes(b"a" * (9 << 20) + b"end")
    await Jobs(settings).reconcile()
    assert log.stat().st_size == 1 << 20
    assert log.read_bytes().endswith(b"end")
