"""What callers of an endpoint see while each process that it stands on is killed in turn, under load.

`python benchmarks/kills.py [builtin|haproxy [CALLERS]]` deploys a model of the credit example as a real bento, lets
CALLERS ask for single rows all the time, and kills (-9) the worker, the master, the keeper of the proxy, its relay,
HAProxy if it is there, and a server, one after the other. Of each it prints how many calls were made and how many
failed, the longest time in which none was answered, and the slowest call. With 0 CALLERS nobody asks meanwhile: one
call comes right after each kill.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pandas as pd
import psutil

from mlops_mcp.config.load import load
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.serving import client, endpoints, marks
from mlops_mcp.tools.serving.endpoint_tokens import token_of
from mlops_mcp.tools.serving.models import DeployRequest, Resources
from mlops_mcp.tools.serving.proxy.keeper import relays
from mlops_mcp.tools.serving.proxy.places import Places
from mlops_mcp.tools.tracing.span import Tracer
from mlops_mcp.tools.training.client import train_model
from mlops_mcp.tools.training.models import TrainRequest

CALLERS, BEFORE_S, AFTER_S, PATIENCE_S = 4, 1.0, 3.0, 120.0
LOANS = Path(__file__).parent.parent / "examples/credit_risk/loan_table.parquet"


@dataclass
class Seen:
    """The outcomes of calls, and when one was answered."""

    outcomes: Counter[str] = field(default_factory=Counter[str])
    answered: list[float] = field(default_factory=list[float])
    slowest_s: float = 0.0

    def line(self) -> str:
        gap = max((after - before for before, after in zip(self.answered, self.answered[1:], strict=False)), default=0)
        failed = {name: count for name, count in self.outcomes.items() if name != "200"}
        told = f"{self.outcomes.total()} calls, {sum(failed.values())} failed {failed or ''}"
        return f"{told}, longest gap {gap:.2f} s, slowest call {self.slowest_s:.2f} s"


def main(proxy: str = "builtin", callers: str = str(CALLERS)) -> None:
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        pd.read_parquet(LOANS).sample(3000, random_state=0).to_parquet(f"{folder}/loans.parquet", index=False)
        environ = {"MLOPS_HOME": f"{folder}/home", "MLOPS_CONFIG": os.devnull}
        settings = load(environ, {"data.roots": [folder], "bentoml.proxy": proxy}).settings
        work = Work(settings, Tracer(lambda _span: None))
        wanted = TrainRequest(
            dataset=f"{folder}/loans.parquet", target="loan_status", algorithm="XGBoost", params={"n_estimators": 20}
        )
        model = train_model(work, wanted)
        made = client.deploy_model(
            work, DeployRequest(bento=model.model, endpoint="credit", replicas=1, resources=Resources(), percent=100)
        )
        try:
            print(f"{proxy}: ready after {made.ready_seconds} s", flush=True)
            asyncio.run(killed(work, made.url, row_of(work), int(callers)))
        finally:
            client.stop_endpoint(work, "credit")


def row_of(work: Work) -> dict[str, Any]:
    """One that the model takes."""
    (deployment,) = endpoints.read(work, "credit").deployments
    features = [each.name for each in client.find_bento(work, deployment.bento).spec.features]
    row = pd.read_parquet(LOANS)[features].head(1).to_dict("records")[0]
    return {str(name): None if value != value else value for name, value in row.items()}


async def killed(work: Work, url: str, row: dict[str, Any], callers: int) -> None:
    places = Places(work.home.absolute())
    server = subprocess.Popen(
        [sys.executable, "-m", "mlops_mcp.server", "serve", "--home", str(work.home)],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    victims: dict[str, Callable[[], list[int]]] = {
        "worker": lambda: [pid for pid in processes_of(work) if pid != master_of(work)],
        "master": lambda: [master_of(work)],
        "keeper": lambda: [pid for pid, command in commands(places) if ".keeper" in command],
        "relay": lambda: [each.pid for each in relays(places) if ".relay_process" in " ".join(each.cmdline())],
        "haproxy": lambda: [each.pid for each in relays(places) if ".relay_process" not in " ".join(each.cmdline())],
        "server": lambda: [server.pid],
    }
    for name, find in victims.items():
        if pids := find():
            print(f"{name:<8} {(await under_load(work, url, row, callers, pids)).line()}", flush=True)
    server.kill()
    server.wait()


async def under_load(work: Work, url: str, row: dict[str, Any], callers: int, pids: list[int]) -> Seen:
    """Kill some processes while callers ask, and let them go on until it has settled."""
    seen, ending = Seen(), asyncio.Event()
    headers = {"Authorization": f"Bearer {token_of(work.home, 'credit')}"}
    async with aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(PATIENCE_S)) as http:
        calling = [asyncio.create_task(caller(http, url, row, seen, ending)) for _ in range(callers)]
        await asyncio.sleep(BEFORE_S)
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if not callers:
            await once(http, url, row, seen)
        deadline = time.monotonic() + PATIENCE_S
        await asyncio.sleep(AFTER_S)
        while not settled(work) and time.monotonic() < deadline:
            await asyncio.sleep(0.1)
        await asyncio.sleep(AFTER_S)
        ending.set()
        await asyncio.gather(*calling)
    return seen


async def caller(http: aiohttp.ClientSession, url: str, row: dict[str, Any], seen: Seen, ending: asyncio.Event) -> None:
    while not ending.is_set():
        await once(http, url, row, seen)


async def once(http: aiohttp.ClientSession, url: str, row: dict[str, Any], seen: Seen) -> None:
    began = time.monotonic()
    try:
        async with http.post(url, json={"rows": [row]}) as said:
            await said.read()
            outcome = str(said.status)
    except (aiohttp.ClientError, TimeoutError) as error:
        outcome = type(error).__name__
    seen.outcomes[outcome] += 1
    seen.slowest_s = max(seen.slowest_s, time.monotonic() - began)
    if outcome == "200":
        seen.answered.append(time.monotonic())


def settled(work: Work) -> bool:
    """Whether the deployment that is noted lives, with a worker."""
    deployment, *starting = endpoints.read(work, "credit").deployments
    return (
        not starting
        and marks.lives(deployment.pid, "credit", deployment.id, work.home)
        and len(processes_of(work)) == 2
    )


def processes_of(work: Work) -> list[int]:
    return [each.pid for found in marks.found(work.home).values() for each in found]


def master_of(work: Work) -> int:
    return endpoints.read(work, "credit").deployments[0].pid


def commands(places: Places) -> list[tuple[int, str]]:
    """The processes whose command names the state folder."""
    found: list[tuple[int, str]] = []
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if str(places.home) in command:
            found.append((process.pid, " ".join(command)))
    return found


if __name__ == "__main__":
    main(*sys.argv[1:])
