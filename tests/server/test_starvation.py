"""One hostile caller, and what becomes of another one's calls: told by their order, not by a clock."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from mcp import Client
from mcp.types import Implementation

from mlops_mcp.config.settings import Settings
from mlops_mcp.server.app import create_server
from mlops_mcp.server.host import Host

from ..waiting import eventually

pytestmark = pytest.mark.slow


def named(server: Host, name: str) -> Client:
    return Client(server, client_info=Implementation(name=name, version="1"))


async def test_six_calls_without_an_end_keep_no_other_caller_waiting(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a,b\n" + "".join(f"{row},{row}\n" for row in range(2000)))
    cold = settings.runtime.model_copy(update={"preload": "never", "call_timeout_s": 3600})
    server = create_server(settings.model_copy(update={"runtime": cold}))
    async with server.services.running(), named(server, "ann") as ann, named(server, "bob") as bob:
        loaded = await ann.call_tool("load_dataset", {"path": str(tmp_path / "rows.csv"), "name": "rows"})
        assert not loaded.is_error
        endless = {
            "sql": "SELECT count(*) AS n FROM rows a, rows b, rows c, rows d WHERE sqrt(a.a + b.b * c.a + d.b) = 0.5"
        }
        hostile = [asyncio.create_task(ann.call_tool("query_dataset", endless)) for _ in range(6)]
        async with asyncio.timeout(600):
            await eventually(lambda: sum(worker.busy for worker in server.services.calls.workers) >= 2)
            for _ in range(5):
                assert not (await bob.call_tool("describe_dataset", {"dataset": "rows"})).is_error
            assert [task.result().content for task in hostile if task.done()] == []
            for task in hostile:
                task.cancel()
            await asyncio.wait(hostile)


async def test_200_calls_at_once_of_one_caller_let_another_one_through(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n")
    server = create_server(settings)
    async with server.services.running(), named(server, "ann") as ann, named(server, "bob") as bob:
        loaded = await ann.call_tool("load_dataset", {"path": str(tmp_path / "rows.csv")})
        assert loaded.structured_content
        look = {"dataset": loaded.structured_content["dataset"]}
        hostile = [asyncio.create_task(ann.call_tool("describe_dataset", look)) for _ in range(200)]
        await asyncio.sleep(0)
        answers = await asyncio.gather(*(bob.call_tool("describe_dataset", look) for _ in range(3)))
        assert not any(answer.is_error for answer in answers)
        # They waited for their turns, not for the whole line before them.
        assert sum(not task.done() for task in hostile) > len(server.services.calls.workers)
        await asyncio.gather(*hostile)
