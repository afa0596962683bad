"""A whole server that is killed: what it was asked reaches Opik all the same, once."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ..conftest import StdioClient, server_pids
from .recorder import Recorder

pytestmark = pytest.mark.slow

CALLS = 300


async def test_a_server_that_is_killed_loses_at_most_its_last_moment_and_the_rest_is_delivered_once(
    stdio_client: StdioClient, opik: Recorder, environ: dict[str, str], tmp_path: Path
) -> None:
    answered: list[int] = []
    killed = False
    with contextlib.suppress(Exception):  # what a client makes of the death of its server is its own business
        async with stdio_client(OPIK_URL_OVERRIDE=opik.url) as client:
            for number in range(CALLS):
                await client.call_tool("list_jobs", {"limit": 1 + number % 50})
                answered.append(1 + number % 50)
            (server,) = server_pids()
            os.kill(server, signal.SIGKILL)
            killed = True
            await client.call_tool("list_jobs", {})
    assert len(answered) == CALLS
    assert killed
    command = [sys.executable, "-m", "mlops_mcp.server", "traces", "ship", "--wait", "120"]
    variables = {"PATH": os.environ["PATH"], "HOME": f"{tmp_path}-user", "OPIK_URL_OVERRIDE": opik.url, **environ}
    done = await asyncio.to_thread(
        subprocess.run, command, env=variables, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stdout + done.stderr
    delivered = [row for row in opik.rows("spans").values() if row["name"] == "list_jobs"]
    # Nothing is missing in between; how many milliseconds the end is short of is measured by `benchmarks/endings.py`.
    asked = [row["input"]["limit"] for row in sorted(delivered, key=lambda row: row["id"])]
    assert asked == answered[: len(asked)]
    assert len(asked) > CALLS / 2
    assert len(opik.rows("traces")) == len(delivered)
    assert opik.duplicates == 0
