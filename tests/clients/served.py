"""The server that all clients are tried on, over HTTP, SSE and stdio, with a model in it to ask for."""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import tempfile
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from mcp import Client

ROWS = 120


@asynccontextmanager
async def serving(root: Path) -> AsyncGenerator[dict[str, Any]]:
    """What a client has to know of it, as `frameworks.steps.Server` reads it."""
    with tempfile.TemporaryDirectory(prefix="clients") as folder:
        home = Path(folder)
        table = _write(home / "people.csv")
        environment = _environment(root, home)
        async with AsyncExitStack() as stack:
            urls = await stack.enter_async_context(_started(environment))
            async with Client(urls["http"], read_timeout_seconds=300) as client:
                made = await _made(client, table)
                tools = [tool.name for tool in (await client.list_tools()).tools]
            yield {
                "command": sys.executable,
                "args": ["-m", "tests.clients.server", "stdio"],
                "env": environment,
                "urls": urls,
                "tools": tools,
                "naps": environment["CLIENTS_NAPS"],
                **made,
            }


def _environment(root: Path, home: Path) -> dict[str, str]:
    (home / "empty.yaml").touch()
    (home / "naps.txt").touch()
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "PYTHONPATH": os.pathsep.join([str(root), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "MLOPS_HOME": str(home / "home"),
        "MLOPS_CONFIG": str(home / "empty.yaml"),
        "MLOPS_DATA__ROOTS": json.dumps([str(home)]),
        "CLIENTS_NAPS": str(home / "naps.txt"),
    }


@asynccontextmanager
async def _started(environment: dict[str, str]) -> AsyncGenerator[dict[str, str]]:
    """Transport -> where it is served, both by one process."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.clients.server", "http", env=environment, stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr
    try:
        http, sse = (word for word in (await process.stderr.readline()).decode().split() if "://" in word)
        # A server whose log nobody reads stops when the pipe is full.
        reader = asyncio.create_task(process.stderr.read())
        yield {"http": http, "sse": sse}
        reader.cancel()
    finally:
        process.terminate()
        await process.wait()


def _write(file: Path) -> Path:
    draw = random.Random(0)
    rows = [(draw.randint(18, 80), draw.randint(0, 30)) for _ in range(ROWS)]
    lines = [f"{age},{years},{200 * age + 900 * years + draw.randint(0, 4000)}" for age, years in rows]
    file.write_text("age,years,income\n" + "\n".join(lines) + "\n", encoding="utf-8")
    return file


async def _made(client: Client, table: Path) -> dict[str, str]:
    """A dataset, a registered model and its explanation."""
    dataset = (await _done(client, "load_dataset", path=str(table), name="people"))["dataset"]
    trained = await _done(client, "train_model", dataset=dataset, target="income", params={"n_estimators": 10})
    model = trained["model"]
    await _done(client, "register_model", name="people_income", model=model)
    explained = await _done(client, "explain_model", model=model, dataset=dataset)
    return {
        "dataset": dataset,
        "explanation": explained["explanation"],
        "resource": "mlflow://models/people_income",
    }


async def _done(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """What a tool, or the job that it made, answers."""
    answer = await client.call_tool(tool, arguments)
    assert not answer.is_error, answer.content
    made: dict[str, Any] = answer.structured_content or {}
    if made.get("state") in ("queued", "running"):
        return await _done(client, "get_job", job=made["job"], wait_s=20)
    result: dict[str, Any] = made.get("result") or made
    return result
