"""A whole server that is killed: what it was asked reaches Opik all the same, once."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ..conftest import StdioClient, server_pids
from .recorder import Recorder

pytestmark = pytest.mark.slow

CALLS = 300
# The writer takes 100 ms; the rest is for a machine that is busy.
WINDOW_S = 0.25


async def test_a_server_that_is_killed_loses_at_most_its_last_moment_and_the_rest_is_delivered_once(
    stdio_client: StdioClient, opik: Recorder, environ: dict[str, str], tmp_path: Path
) -> None:
    answered: list[float] = []
    killed = 0.0
    with contextlib.suppress(Exception):  # what a client makes of the death of its server is its own business
        async with stdio_client(OPIK_URL_OVERRIDE=opik.url) as client:
            for _ in range(CALLS):
                await client.call_tool("list_jobs", {})
                answered.append(time.monotonic())
            (server,) = server_pids()
            os.kill(server, signal.SIGKILL)
            killed = time.monotonic()
            await client.call_tool("list_jobs", {})
    assert len(answered) == CALLS
    assert killed
    certain = sum(moment < killed - WINDOW_S for moment in answered)
    command = [sys.executable, "-m", "mlops_mcp.server", "traces", "ship", "--wait", "30"]
    variables = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "OPIK_URL_OVERRIDE": opik.url, **environ}
    done = await asyncio.to_thread(
        subprocess.run, command, env=variables, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=90
    )
    assert done.returncode == 0, done.stdout + done.stderr
    delivered = [row for row in opik.rows("spans").values() if row["name"] == "list_jobs"]
    assert certain <= len(delivered) <= CALLS
    assert len(delivered) > CALLS / 2
    assert len(opik.rows("traces")) == len(delivered)
    assert opik.duplicates == 0
