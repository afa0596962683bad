"""What the server process does beside answering."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from mcp import Client

from mlops_mcp.config.load import load
from mlops_mcp.config.settings import Settings
from mlops_mcp.server import services
from mlops_mcp.server.app import create_server
from mlops_mcp.server.background import repeat
from mlops_mcp.tools.tracing.opik.launcher import Launcher

from ..waiting import eventually


async def test_a_job_table_that_cannot_be_read_does_not_end_the_server(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(services, "RECONCILE_EVERY_S", 0.01)
    settings.home.mkdir()
    (settings.home / "jobs.db").write_text("this is no database" * 100)
    server = create_server(settings)
    async with server.services.running(), Client(server) as client:
        async with asyncio.timeout(600):
            while "jobs cannot be looked after" not in caplog.text:
                await asyncio.sleep(0.01)
        assert (await client.list_tools()).tools


async def test_nothing_is_created_before_there_is_work(settings: Settings, client: Client) -> None:
    assert (await client.list_tools()).tools
    assert not settings.home.exists()


async def test_a_key_that_is_no_text_is_refused_before_anything_is_done(client: Client) -> None:
    name = next(tool.name for tool in (await client.list_tools()).tools if "idempotency_key" in str(tool.input_schema))
    for key in (5, ["k"], "x" * 129):
        result = await client.call_tool(name, {"idempotency_key": key})
        assert f"{name} cannot take this idempotency_key" in str(result.content)


@pytest.mark.parametrize("content", [b"environment: caf\xe9", b"environment: 2024-13-45", b"a: [", b"home: {"])
async def test_a_file_that_becomes_unusable_while_serving_is_logged_and_the_server_goes_on(
    environ: dict[str, str], content: bytes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(services, "SHIP_EVERY_S", 0.01)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    server = create_server(load().settings)
    async with server.services.running(), Client(server) as client:
        Path(environ["MLOPS_CONFIG"]).write_bytes(content)
        await eventually(lambda: "the changed settings are not used" in caplog.text)
        assert (await client.list_tools()).tools


async def test_whatever_a_background_loop_meets_it_goes_on(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(services, "SHIP_EVERY_S", 0.01)
    monkeypatch.setattr(services, "RECONCILE_EVERY_S", 0.01)
    settings.home.mkdir()
    (settings.home / "jobs.db").touch()
    server = create_server(settings)

    def look(_self: object, _settings: object) -> None:
        raise LookupError("of the shipper")

    async def reconcile() -> None:
        raise ZeroDivisionError("of the jobs")

    monkeypatch.setattr(Launcher, "look", look)
    monkeypatch.setattr(server.services.jobs, "reconcile", reconcile)
    async with server.services.running(), Client(server) as client:
        await eventually(lambda: "LookupError: of the shipper" in caplog.text and "of the jobs" in caplog.text)
        assert (await client.list_tools()).tools


async def test_trouble_that_lasts_is_logged_once_and_again_after_it_was_over(caplog: pytest.LogCaptureFixture) -> None:
    ends = [OSError("a"), OSError("a"), OSError("b"), None, OSError("b"), OSError("b"), asyncio.CancelledError()]

    async def act() -> None:
        if end := ends.pop(0):
            raise end

    action: Callable[[], Awaitable[None]] = act
    with caplog.at_level(logging.WARNING), pytest.raises(asyncio.CancelledError):
        await repeat(action, 0.0, "trouble")
    assert [record.getMessage() for record in caplog.records] == ["trouble: a", "trouble: b", "trouble: b"]
