"""What tests of the server share: one that listens on a port."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

Served = Callable[..., AbstractAsyncContextManager[tuple[asyncio.subprocess.Process, str]]]


@asynccontextmanager
async def started(
    *command: str, folder: Path, **variables: str
) -> AsyncGenerator[tuple[asyncio.subprocess.Process, str]]:
    """A server in a process of its own, and the address that it says it serves."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
        env={"PATH": os.environ["PATH"], "MLOPS_RUNTIME__PRELOAD": "false", **variables},
        cwd=folder,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr
    try:
        async with asyncio.timeout(600):
            line = (await process.stderr.readline()).decode()
        found = re.search(r"http://\S+", line)
        assert found, line + (await process.stderr.read()).decode()
        yield process, found[0]
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.fixture
def served(environ: dict[str, str], tmp_path: Path) -> Served:
    """Starts `mlops-mcp serve` on a free port and yields the process and its address."""

    def start(transport: str) -> AbstractAsyncContextManager[tuple[asyncio.subprocess.Process, str]]:
        command = ("-m", "mlops_mcp.server", "serve", "--transport", transport, "--port", "0")
        return started(*command, folder=tmp_path, HOME=f"{tmp_path}-user", **environ)

    return start
