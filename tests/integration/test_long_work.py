"""Long work over MCP: it outlives its caller and its server, reports how far it is, and ends when it is told to."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest
from mcp import Client

from mlops_mcp.config.settings import Settings
from mlops_mcp.server.app import create_server

from ..conftest import StdioClient, connected, finished, server_pids

pytestmark = pytest.mark.slow

# Between two looks, which would else take the time of the work that is looked at.
PAUSE_S = 0.1


@pytest.fixture
def rows(tmp_path: Path) -> str:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(3000, 4)), columns=["a", "b", "c", "d"])
    frame.assign(y=(rng.random(3000) < 1 / (1 + np.exp(-frame["a"]))).astype(int)).to_parquet(tmp_path / "rows.parquet")
    return str(tmp_path / "rows.parquet")


def search(rows: str, **changes: object) -> dict[str, Any]:
    """A search whose trials are small: it is long by their number alone."""
    space = {"max_depth": [1, 3], "n_estimators": [2, 9]}
    return {
        "dataset": rows, "target": "y", "algorithm": "XGBoost", "search_space": space, "folds": 2, "experiment": "long",
        **changes,
    }  # fmt: skip


async def answer(client: Client, tool: str, **arguments: object) -> dict[str, Any]:
    if arguments.get("wait_s"):
        result = await finished(client, tool, **arguments)
    else:
        result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    assert isinstance(result.structured_content, dict)
    return result.structured_content


async def job_of(client: Client, ready: Callable[[dict[str, Any]], object] = bool) -> dict[str, Any]:
    """The only job, as soon as it is `ready`."""
    async with asyncio.timeout(240):
        while True:
            listed = (await answer(client, "list_jobs"))["items"]
            if listed and ready(listed[0]):
                return dict(listed[0])
            await asyncio.sleep(PAUSE_S)


async def test_a_job_goes_on_when_its_caller_gives_up_and_another_client_reads_its_result(
    stdio_client: StdioClient, client: Client, rows: str
) -> None:
    async with stdio_client() as impatient:
        call = asyncio.create_task(impatient.call_tool("tune_model", search(rows, n_trials=12, wait_s=50)))
        job = (await job_of(client))["job"]
        call.cancel()
        await asyncio.wait([call])
        assert call.cancelled()
        found = await answer(client, "get_job", job=job, wait_s=50)
    assert (found["state"], found["result"]["trials"] + found["result"]["pruned"]) == ("done", 12)


async def test_a_job_goes_on_when_its_server_is_killed_and_the_next_server_reads_its_result(
    stdio_client: StdioClient, settings: Settings, rows: str
) -> None:
    killed = 0
    with contextlib.suppress(Exception):  # what a client makes of the death of its server is its own business
        async with stdio_client() as client:
            await client.call_tool("tune_model", search(rows, n_trials=12, wait_s=0))
            (killed,) = server_pids()
            os.kill(killed, signal.SIGKILL)
            await client.call_tool("list_jobs", {})
    assert killed
    async with connected(settings) as later:
        found = await answer(later, "get_job", job=(await job_of(later))["job"], wait_s=50)
    assert found["state"] == "done"


async def test_a_search_that_is_cancelled_keeps_its_best_and_leaves_no_run_open(client: Client, rows: str) -> None:
    started = await answer(client, "tune_model", **search(rows, n_trials=2000, wait_s=0))
    await job_of(client, lambda job: (job.get("progress") or {}).get("done", 0) >= 3)
    ended = await answer(client, "cancel_job", job=started["job"])
    assert ended["state"] == "cancelled"
    assert ended["partial"]["trials"] >= 2
    study = await answer(client, "get_study", study=ended["partial"]["study"])
    assert study["best"]["value"] >= ended["partial"]["best_value"]
    async with asyncio.timeout(600):
        while (await answer(client, "search_runs", experiment="long", where="status = 'RUNNING'"))["items"]:
            await asyncio.sleep(PAUSE_S)
    parent = await answer(client, "get_run", run=ended["partial"]["run"])
    assert parent["status"] == "KILLED"


async def test_a_budget_of_time_ends_a_search_in_order(client: Client, rows: str) -> None:
    found: dict[str, Any] = {}
    for budget_s in (
        4,
        12,
        36,
        120,
    ):  # a busy machine may use up a small one before the first trial, and is cut off then
        result = await finished(client, "tune_model", **search(rows, n_trials=2000, budget_s=budget_s, wait_s=50))
        found = result.structured_content or {}
        if found.get("state") == "done":
            break
        assert f"the budget of {budget_s} s was used up" in str(result)
    assert found["state"] == "done"
    assert 1 <= found["result"]["trials"] + found["result"]["pruned"] < 2000


async def test_a_budget_of_memory_that_cannot_suffice_is_an_error_that_says_how_much_was_used(
    client: Client, rows: str
) -> None:
    result = await finished(client, "tune_model", **search(rows, budget_mb=100, wait_s=50))
    assert result.is_error
    assert "MB of a budget of 100 MB" in str(result.content)


@pytest.mark.parametrize(
    ("budget", "says"),
    [
        ({"budget_s": -1}, "budget_s: Input should be greater than 0"),
        ({"budget_s": "soon"}, "budget_s: Input should be a valid number"),
        ({"budget_mb": 1}, "budget_mb: Input should be greater than or equal to 64"),
    ],
)
async def test_a_budget_that_allows_nothing_is_refused(client: Client, budget: dict[str, Any], says: str) -> None:
    result = await client.call_tool("tune_model", search("x", **budget))
    assert result.is_error
    assert says in str(result.content)


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_progress_is_told_in_both_eras_and_never_right_before_the_answer(
    settings: Settings, rows: str, mode: Literal["legacy", "auto"]
) -> None:
    server = create_server(settings)
    told: list[tuple[float, float | None, str | None]] = []

    async def tell(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, total, message))

    async with server.services.running(), Client(server, mode=mode) as client:
        await client.call_tool("tune_model", search(rows, n_trials=15, wait_s=50), progress_callback=tell)
    assert told
    assert told[-1][0] < 15  # the last step is told by the answer alone
    assert [done for done, _, _ in told] == sorted(done for done, _, _ in told)
    assert all(total == 15 and message and message.startswith("trial") for _, total, message in told)
