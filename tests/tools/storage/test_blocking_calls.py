"""A store that does not answer holds up its own callers and nobody else."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path

import anyio.to_thread
import pytest

from mlops_mcp.config.settings import Settings
from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.lineage import Lineage
from mlops_mcp.tools.runtime.jobs.launch import table_of
from mlops_mcp.tools.runtime.jobs.queue import Jobs
from mlops_mcp.tools.storage.errors import StorageError
from mlops_mcp.tools.storage.store import BlockingCalls

from ...conftest import StdioClient

# More than there are threads for everybody.
CALLS = 45


@contextmanager
def taken(file: Path) -> Generator[None]:
    """Somebody has the file for himself, so that nobody can even read it."""
    with closing(sqlite3.connect(file, isolation_level=None)) as db:
        db.execute("pragma locking_mode=exclusive")
        db.execute("begin exclusive")
        yield


async def outcomes(calls: list[asyncio.Task[object]]) -> list[str]:
    return [type(found).__name__ for found in await asyncio.gather(*calls, return_exceptions=True)]


async def test_a_locked_job_table_leaves_the_threads_of_all_to_others(settings: Settings) -> None:
    jobs = Jobs(settings)
    table_of(settings).count()
    with taken(settings.home / "jobs.db"):
        calls: list[asyncio.Task[object]] = [asyncio.create_task(jobs.get("x")) for _ in range(CALLS)]
        calls += [asyncio.create_task(jobs.get("y" * 20)) for _ in range(CALLS)]
        await anyio.sleep(0)
        assert await anyio.to_thread.run_sync(lambda: "answered") == "answered"
        assert not any(call.done() for call in calls)
    assert set(await outcomes(calls)) == {"ToolFailure"}


@pytest.mark.slow
async def test_a_server_whose_job_table_is_locked_answers_what_needs_no_jobs(
    stdio_client: StdioClient, environ: dict[str, str]
) -> None:
    file = Path(environ["MLOPS_HOME"], "jobs.db")
    async with stdio_client() as client:
        assert not (await client.call_tool("list_jobs", {})).is_error
        with taken(file):
            calls = [asyncio.create_task(client.call_tool("list_jobs", {})) for _ in range(CALLS)]
            await anyio.sleep(0)
            assert (await client.list_tools()).tools
            assert not any(call.done() for call in calls)
        assert not any(result.is_error for result in await asyncio.gather(*calls))


async def test_a_call_that_finds_no_thread_for_too_long_says_so_and_the_next_one_goes_through() -> None:
    calls = BlockingCalls("the job table", 1, wait_s=0.05)
    release = threading.Event()
    first = asyncio.create_task(calls.run(release.wait))
    await anyio.sleep(0.01)
    with pytest.raises(StorageError, match=r"the job table is busy.*Repeat it in a minute") as caught:
        await calls.run(lambda: None)
    assert caught.value.passing
    release.set()
    assert await first
    assert await calls.run(lambda: "done") == "done"


async def test_a_caller_that_gives_up_while_it_waits_leaves_the_thread_to_others() -> None:
    calls = BlockingCalls("the job table", 1)
    release = threading.Event()
    first = asyncio.create_task(calls.run(release.wait))
    await anyio.sleep(0.01)
    second = asyncio.create_task(calls.run(lambda: None))
    await anyio.sleep(0.01)
    second.cancel()
    release.set()
    await asyncio.wait([first, second])
    assert await calls.run(lambda: "done") == "done"


def test_the_failure_of_a_store_is_the_same_in_another_process(tmp_path: Path) -> None:
    import pickle

    (tmp_path / "lineage.db").write_text("no database" * 500)
    with pytest.raises(StorageError) as caught:
        Lineage(tmp_path).nodes()
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.kind, again.passing) == (str(caught.value), "damaged", False)
    assert isinstance(again, ToolFailure)
