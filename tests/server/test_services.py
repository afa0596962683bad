"""What the server process does beside answering."""

from __future__ import annotations

import asyncio

import pytest
from mcp import Client

from mlops_mcp.config.settings import Settings
from mlops_mcp.server import services
from mlops_mcp.server.app import create_server


async def test_a_job_table_that_cannot_be_read_does_not_end_the_server(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(services, "RECONCILE_EVERY_S", 0.01)
    settings.home.mkdir()
    (settings.home / "jobs.db").write_text("this is no database" * 100)
    server = create_server(settings)
    async with server.services.running(), Client(server) as client:
        async with asyncio.timeout(120):
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
