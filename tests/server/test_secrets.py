"""What callers say by mistake is found in no file of the state folder, and in nothing that the server prints."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import pytest
from mcp import Client, MCPError
from pydantic import JsonValue

from mlops_mcp.config.logs import configure
from mlops_mcp.config.settings import Settings
from mlops_mcp.server.app import create_server
from mlops_mcp.tools.runtime.models import JobView
from mlops_mcp.tools.spec import Injected, Toolset, writes
from mlops_mcp.tools.tracing.redaction import Redactor

from ..opik.test_secrets import PLANTED

pytestmark = pytest.mark.slow

LEAKY = """
from pydantic import BaseModel
from mlops_mcp.tools.errors import ToolFailure

class Request(BaseModel):
    text: str

def crash(work, text): raise RuntimeError(f"cannot use {text}")
def job(work, request: Request) -> dict[str, str]:
    with work.tracer.span(f"inner {request.text}", note=request.text): pass
    if "hunter" in request.text: raise RuntimeError(f"cannot use {request.text}")
    raise ToolFailure(f"cannot use {request.text}")
"""
# Requests wait there for their job, which needs them as they were made.
BY_DESIGN = ("jobs.db", "jobs.db-wal", "jobs.db-shm")


async def test_thirty_planted_secrets_are_found_in_no_file_and_no_log(
    settings: Settings, probes: Callable[[str, str], Any], capfd: pytest.CaptureFixture[str]
) -> None:
    leaky = probes("leaky", LEAKY)

    async def stumble(context: Injected, text: str) -> JobView[JsonValue]:
        """Crash in the server's own process."""
        raise RuntimeError(f"cannot use {text}")

    async def stumble_in_worker(context: Injected, text: str) -> JobView[JsonValue]:
        """Crash in a call worker."""
        await context.call(leaky.crash, text)
        raise AssertionError

    async def stumble_in_job(context: Injected, text: str) -> JobView[JsonValue]:
        """Fail in a job."""
        return await context.submit(leaky.job, leaky.Request(text=text), 120)

    tools = (stumble, stumble_in_worker, stumble_in_job)
    server = create_server(settings, Toolset("leaky", "Leaky.", tuple(writes(tool, "Stumble") for tool in tools)))
    configure("INFO", Redactor.of(settings))
    async with server.services.running(), Client(server) as client:
        for number, text in enumerate(PLANTED):
            meta: Any = {"opik_thread_id": text}
            await client.call_tool("describe_dataset", {"dataset": text, "columns": [text], text: 1}, meta=meta)
            await client.call_tool("describe_dataset", {"dataset": text, "columns": [text]}, meta=meta)
            for tool in tools if number % 6 == 0 else tools[:2]:
                assert (await client.call_tool(tool.__name__, {"text": text}, meta=meta)).is_error
            await client.get_prompt("data_preparer", {"goal": text})
            with suppress(MCPError):
                await client.read_resource(f"mlflow://runs/{quote(text, safe='')}")
    kept = {file: file.read_bytes() for file in settings.home.rglob("*") if file.is_file()}
    assert settings.home / "traces.db" in kept
    found = {
        (str(file.relative_to(settings.home)), secret)
        for file, content in kept.items()
        for secret in PLANTED.values()
        if secret.encode() in content and file.name not in BY_DESIGN
    }
    assert found == set()
    printed = "".join(capfd.readouterr())
    assert [secret for secret in PLANTED.values() if secret in printed] == []
