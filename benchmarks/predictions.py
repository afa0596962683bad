"""What `predict` adds to an endpoint, beside a plain HTTP client that asks the same endpoint with the same row in turn.

`python benchmarks/predictions.py [CALLS [AT_ONCE]]` deploys a model of the credit example, and prints the milliseconds
(p50, p99) of one row by httpx on a kept connection, of the asking that `predict` does, and of the whole call through an
MCP client; then how many of AT_ONCE calls that are made together are answered. Before that, what deploying it took.
"""

from __future__ import annotations

import asyncio
import logging
import os
import statistics
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import psutil
from mcp import Client

from mlops_mcp.config.load import load
from mlops_mcp.server.app import create_server
from mlops_mcp.tools.serving.endpoint_tokens import token_of
from mlops_mcp.tools.serving.processes import HOME

CALLS, AT_ONCE, WARM = 500, 1000, 50
LOANS = Path(__file__).parent.parent / "examples/credit_risk/loan_table.parquet"


def main() -> int:
    calls, at_once = (int(text) for text in [*sys.argv[1:3], str(CALLS), str(AT_ONCE)][:2])
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        asyncio.run(measured(Path(folder), calls, at_once))
    return 0


async def measured(folder: Path, calls: int, at_once: int) -> None:
    pd.read_parquet(LOANS).sample(3000, random_state=0).to_parquet(folder / "loans.parquet", index=False)
    given = {"data.roots": [str(folder)]}
    settings = load({"MLOPS_HOME": str(folder / "home"), "MLOPS_CONFIG": os.devnull}, given).settings
    server = create_server(settings)
    async with server.services.running(), Client(server) as client:
        dataset, target = str(folder / "loans.parquet"), "loan_status"
        model = await job(client, "train_model", dataset=dataset, target=target, algorithm="XGBoost")
        served = await job(client, "deploy_model", bento=model["model"], endpoint="credit")
        print(f"ready after {served['ready_seconds']} s, {served['memory_mb']} MB; {spent(settings.home)}")
        try:
            features = [line["name"] for line in await inputs(client, model["model"])]
            row = pd.read_parquet(LOANS)[features].head(1).to_dict("records")[0]
            row = {name: None if value != value else value for name, value in row.items()}
            await in_turn(client, served["url"], token_of(settings.home, "credit"), row, calls)
            await together(client, row, at_once)
        finally:
            await client.call_tool("stop_endpoint", {"endpoint": "credit"})


def spent(home: Path) -> str:
    """CPU seconds and the share of memory (PSS) of each process of the endpoint."""
    told: list[str] = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get(HOME) == str(home.resolve()):
                times, memory = process.cpu_times(), process.memory_full_info()
                told.append(f"{times.user + times.system:.1f} CPU s, PSS {memory.pss >> 20} MB")
    return "; ".join(told)


async def job(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    found = await client.call_tool(tool, arguments)
    while (said := found.structured_content or {}).get("state") in ("queued", "running"):
        found = await client.call_tool("get_job", {"job": said["job"], "wait_s": 3})
    assert not found.is_error, found.content
    return dict(said["result"])


async def inputs(client: Client, model: str) -> list[dict[str, Any]]:
    return list((await job(client, "package_model", model=model))["features"])


async def in_turn(client: Client, url: str, token: str, row: dict[str, Any], calls: int) -> None:
    headers, body = {"Authorization": f"Bearer {token}"}, {"rows": [row]}
    raw, ours, asked = list[float](), list[float](), list[float]()
    async with httpx.AsyncClient(headers=headers) as http:
        for number in range(calls + WARM):
            began = time.perf_counter()
            (await http.post(url, json=body)).raise_for_status()
            between = time.perf_counter()
            answer = await client.call_tool("predict", {"endpoint": "credit", "rows": [row]})
            ended = time.perf_counter()
            assert not answer.is_error, answer.content
            if number >= WARM:
                raw.append(between - began)
                ours.append(ended - between)
                asked.append(float((answer.structured_content or {})["ms"]) / 1000)
    for name, spent in (("raw httpx", raw), ("predict, the asking (its `ms`)", asked), ("predict by MCP", ours)):
        p50, p99 = statistics.median(spent) * 1000, statistics.quantiles(spent, n=100)[98] * 1000
        print(f"{name:<34} p50 {p50:7.2f} ms {p50 / (statistics.median(raw) * 1000):5.2f} x   p99 {p99:7.2f} ms")


async def together(client: Client, row: dict[str, Any], at_once: int) -> None:
    began = time.perf_counter()

    async def one() -> bool:
        answer = await client.call_tool("predict", {"endpoint": "credit", "rows": [row]})
        return not answer.is_error

    answered = sum(await asyncio.gather(*(one() for _ in range(at_once))))
    took = time.perf_counter() - began
    print(f"{at_once} at once: {answered} answered in {took:.1f} s, {at_once / took:.0f} each second")


if __name__ == "__main__":
    sys.exit(main())
