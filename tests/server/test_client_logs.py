"""What the server warns of reaches the client whose call it was, at the level it asked for."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import AsyncGenerator, Generator
from contextlib import redirect_stderr
from typing import Any

import anyio.to_thread
import pytest
from mcp import Client
from mcp.types import LoggingMessageNotificationParams as Entry

from mlops_mcp.config.logs import configure
from mlops_mcp.config.settings import Settings
from mlops_mcp.server.app import create_server
from mlops_mcp.server.client_logs import WAITING
from mlops_mcp.server.host import Host
from mlops_mcp.tools.spec import Toolset, reads

from .handshake import set_level

LOG = logging.getLogger("mlops_mcp.tools.probe")
SECRET = "sk-ant-api03-" + "a" * 40


async def warn(word: str, times: int = 1) -> str:
    """Log warnings, and something that matters less, without a pause."""
    for _ in range(times):
        LOG.info("less: %s", word)
        LOG.warning("more: %s", word)
    return word


async def warn_in_a_thread(word: str) -> str:
    """Log a warning where blocking work is done."""
    await anyio.to_thread.run_sync(LOG.warning, "thread: %s", word)
    return word


@pytest.fixture
def stderr() -> Generator[io.StringIO]:
    """Where the log of a server goes of which only errors are to be printed."""
    root, written = logging.getLogger(), io.StringIO()
    before = root.level, root.handlers
    root.handlers = []
    with redirect_stderr(written):
        configure("ERROR", str)
    yield written
    root.handlers = before[1]
    root.setLevel(before[0])


@pytest.fixture
async def server(settings: Settings, stderr: io.StringIO) -> AsyncGenerator[Host]:
    meeting = asyncio.Barrier(2)

    async def meet(word: str) -> str:
        """Log once two calls are under way."""
        await meeting.wait()
        LOG.warning("met: %s", word)
        return word

    probes = tuple(reads(tool, tool.__name__) for tool in (warn, warn_in_a_thread, meet))
    server = create_server(settings, Toolset("probe", "Logs.", probes))
    with server.services.logs:
        yield server
    assert "less" not in stderr.getvalue()
    assert "more" not in stderr.getvalue()


class Heard(list[tuple[str, str | None, Any]]):
    async def tell(self, params: Entry) -> None:
        self.append((params.level, params.logger, params.data))


async def test_a_client_of_the_handshake_era_is_told_from_the_level_on_that_it_set(server: Host) -> None:
    heard = Heard()
    async with Client(server, mode="legacy", logging_callback=heard.tell) as client:
        assert client.server_capabilities.logging is not None
        await client.call_tool("warn", {"word": "unasked"})
        await set_level(client, "warning")
        await client.call_tool("warn", {"word": "one"})
        await client.call_tool("warn_in_a_thread", {"word": "two"})
        await set_level(client, "info")
        await client.call_tool("warn", {"word": "three"})
        await set_level(client, "emergency")
        await client.call_tool("warn", {"word": "four"})
    assert heard == [
        ("warning", "tools.probe", "more: one"),
        ("warning", "tools.probe", "thread: two"),
        ("info", "tools.probe", "less: three"),
        ("warning", "tools.probe", "more: three"),
    ]


async def test_a_modern_client_is_told_only_for_requests_that_name_a_level(server: Host) -> None:
    asked, silent = Heard(), Heard()
    async with Client(server, logging_callback=asked.tell, log_level="warning") as client:
        await client.call_tool("warn", {"word": "one"})
    async with Client(server, logging_callback=silent.tell) as client:
        await client.call_tool("warn", {"word": "two"})
    assert asked == [("warning", "tools.probe", "more: one")]
    assert silent == []


async def test_clients_that_call_at_once_are_each_told_of_their_own_call(server: Host) -> None:
    first, second = Heard(), Heard()
    async with (
        Client(server, mode="legacy", logging_callback=first.tell) as one,
        Client(server, logging_callback=second.tell, log_level="debug") as other,
    ):
        await set_level(one, "debug")
        await asyncio.gather(one.call_tool("meet", {"word": "one"}), other.call_tool("meet", {"word": "other"}))
    assert [data for _, _, data in first] == ["met: one"]
    assert [data for _, _, data in second] == ["met: other"]


async def test_a_secret_is_taken_out_and_a_flood_is_cut(server: Host) -> None:
    heard = Heard()
    async with Client(server, logging_callback=heard.tell, log_level="warning") as client:
        await client.call_tool("warn", {"word": SECRET})
        await client.call_tool("warn", {"word": "x" * 10_000})
        assert SECRET not in str(heard)
        assert len(heard[-1][2]) == 2000
        heard.clear()
        await client.call_tool("warn", {"word": "flood", "times": 3 * WAITING})
    assert [data for _, _, data in heard] == ["more: flood"] * WAITING


async def test_what_nobody_listens_to_is_not_even_made(server: Host) -> None:
    async with Client(server, mode="legacy") as client:
        await set_level(client, "debug")
        await client.call_tool("warn", {"word": "a"})
    assert not LOG.isEnabledFor(logging.WARNING)
    assert LOG.isEnabledFor(logging.ERROR)


async def test_a_call_that_is_refused_logs_no_error_and_the_next_one_is_answered(server: Host) -> None:
    heard = Heard()
    async with Client(server, mode="legacy", logging_callback=heard.tell) as client:
        await set_level(client, "error")
        answer = await client.call_tool("warn", {"word": "a", "nonsense": 1})
        assert answer.is_error
        assert (await client.call_tool("warn", {"word": "b"})).structured_content == {"result": "b"}
    assert heard == []
