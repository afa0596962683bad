"""A read-only server changes nothing, whatever its tools are asked."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from mlops_mcp.config.settings import Settings
from mlops_mcp.server.app import create_server
from mlops_mcp.tools.runtime.jobs.alive import machine
from mlops_mcp.tools.runtime.jobs.launch import home_id, stored, table_of
from mlops_mcp.tools.runtime.jobs.queue import Jobs
from mlops_mcp.tools.runtime.jobs.shares import Slots
from mlops_mcp.tools.runtime.jobs.submission import Submission
from mlops_mcp.tools.runtime.jobs.table import NewJob

pytestmark = pytest.mark.slow


READY = """
from pydantic import BaseModel
class Nothing(BaseModel): pass
def end(work, request: Nothing) -> Nothing: return request
"""
OLD_S = 40 * 24 * 3600.0


async def test_a_read_only_server_starts_and_prunes_no_jobs_of_others_but_runs_its_own(
    settings: Settings, probes: Callable[[str, str], Any]
) -> None:
    ready = probes("ready", READY)
    busy = settings.model_copy(update={"runtime": settings.runtime.model_copy(update={"job_slots": 1})})
    table = table_of(busy)
    new = NewJob("t", "", "x:y", "{}", 1, "", "", None, stored(busy), "/", home_id(busy), "{}")
    waiting, ended = table.insert(new), table.insert(new)
    table.cancel(ended.id)
    with sqlite3.connect(busy.home / "jobs.db") as db:
        db.execute("update jobs set ended=ended-?, created=created-? where id=?", (OLD_S, OLD_S, ended.id))
    jobs = Jobs(busy.model_copy(update={"server": busy.server.model_copy(update={"read_only": True})}))
    await jobs.reconcile()
    own = await jobs.submit(Submission("t", ready.end, ready.Nothing()))
    async for row in jobs.watch(own.id, 60):
        own = row
        await jobs.reconcile()
    assert own.state == "done"
    assert table.get(waiting.id).state == "queued"
    assert table.get(ended.id).state == "cancelled"


async def test_a_read_only_server_shows_the_job_of_a_process_that_died_and_leaves_it_to_others(
    settings: Settings,
) -> None:
    table = table_of(settings)
    row = table.insert(NewJob("t", "", "x:y", "{}", 1, "", "", None, stored(settings), "/", home_id(settings), "{}"))
    assert table.claim(home_id(settings), machine(), Slots(1))
    assert table.started(row.id, 1, 2**22 + 1)
    only = Jobs(settings.model_copy(update={"server": settings.server.model_copy(update={"read_only": True})}))
    before = table.get(row.id)
    assert (await only.get(row.id), table.get(row.id)) == (before, before)
    assert (await Jobs(settings).get(row.id)).state == "lost"


async def test_a_read_only_server_stores_no_file_on_the_way(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("x\n1\n2\n", encoding="utf-8")
    only = settings.model_copy(update={"server": settings.server.model_copy(update={"read_only": True})})
    server = create_server(only)
    async with server.services.running(), Client(server) as client:
        answer = await client.call_tool("describe_dataset", {"dataset": str(tmp_path / "rows.csv")})
    assert answer.is_error
    assert "read-only" in answer.content[0].model_dump_json()
    assert not (settings.home / "datasets").exists()
