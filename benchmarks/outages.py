"""What callers see while a backend of a team is restarted, or stands still for 20 s, in the middle of their work.

`python benchmarks/outages.py [BACKEND or WORK …]` puts up PostgreSQL, an MLflow server over it, an S3 store and a Dask
cluster, each in processes of its own, and does each kind of work over MCP: a job that trains, a search, a registration,
values logged into a run, a read. While it goes on, the backend is killed (-9) and started again after 2 s, or stopped
(SIGSTOP) for 20 s. The S3 store keeps all in memory, so the way to it is cut for 2 s instead. Dask's workers end with
their scheduler, and are started again with it. Printed for each: how long the backend was away, how the work ended and
after how many seconds, whether the same call works afterwards, how many runs are still open, and how often there is
twice what should be there once. The caller bears 45 s, as most hosts of agents do.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from mcp import Client  # noqa: E402
from mcp.types import CallToolResult  # noqa: E402

from mlops_mcp.config.load import load  # noqa: E402
from tests.conftest import PATIENT, connected  # noqa: E402
from tests.tools.backends.conftest import BUCKET, address_of, make_bucket  # noqa: E402
from tests.tools.backends.gate import Gate, gate_to  # noqa: E402
from tests.tools.backends.servers import (  # noqa: E402
    KEYS,
    OWN_HOST,
    Database,
    Program,
    dask_scheduler,
    dask_workers,
    mlflow_server,
    running,
    s3_store,
)
from tests.tools.runtime import postgres  # noqa: E402

AWAY_S, FROZEN_S = 2.0, 20.0
BACKENDS = ("postgres", "mlflow", "s3", "scheduler", "workers")
JOBS = ("train", "search")
ROWS = "synthetic_e2i_classification"
ASKED = {"dataset": ROWS, "target": "target", "exclude": ["hcp_id"], "algorithm": "XGBoost"}


class Server(Protocol):
    def start(self) -> None: ...
    def stop(self, how: signal.Signals) -> None: ...
    def freeze(self) -> None: ...
    def thaw(self) -> None: ...


@dataclass(frozen=True)
class Way:
    """A server whose memory does not outlast it: in place of its end nobody reaches it."""

    gate: Gate
    program: Program

    def start(self) -> None:
        self.gate.open()

    def stop(self, how: signal.Signals) -> None:
        self.gate.shut()

    def freeze(self) -> None:
        self.program.freeze()

    def thaw(self) -> None:
        self.program.thaw()


@dataclass(frozen=True)
class Cluster:
    """A scheduler whose workers end with it, and are started again by whoever keeps them."""

    scheduler: Program
    workers: Program

    def start(self) -> None:
        self.scheduler.start()
        self.workers.stop(signal.SIGKILL)
        self.workers.start()

    def stop(self, how: signal.Signals) -> None:
        self.scheduler.stop(how)

    def freeze(self) -> None:
        self.scheduler.freeze()

    def thaw(self) -> None:
        self.scheduler.thaw()


@dataclass(frozen=True)
class Said:
    """What a call came to; `text` is an error's, or what a job says of itself."""

    ok: bool
    text: str
    result: dict[str, Any]


@dataclass(frozen=True)
class Caller:
    """Calls tools; a job is followed to its end, through whatever goes wrong meanwhile."""

    client: Client

    async def call(self, tool: str, **arguments: Any) -> Said:
        answer = await self.client.call_tool(tool, arguments)
        made = answer.structured_content or {}
        while "job" in made and made.get("state") in ("queued", "running"):
            answer = await self.client.call_tool("get_job", {"job": made["job"], "wait_s": 5})
            if answer.is_error and not text_of(answer).startswith(f"{made['job']} "):
                await asyncio.sleep(1)  # the table of jobs is away: ask again
                continue
            made = answer.structured_content or {}
        ok = not answer.is_error and made.get("state", "done") == "done"
        text = text_of(answer)
        return Said(ok, "" if ok else text, made.get("result") or made)


def text_of(answer: CallToolResult) -> str:
    return " ".join(getattr(block, "text", "") for block in answer.content)


async def train(caller: Caller, name: str) -> Said:
    return await caller.call("train_model", **ASKED, params={"n_estimators": 100}, experiment=name, wait_s=0)


async def search(caller: Caller, name: str) -> Said:
    more = {"n_trials": 8, "study": name, "search_space": {"n_estimators": [20, 60]}}
    return await caller.call("tune_model", **ASKED, **more, experiment=name, wait_s=0)


async def register(caller: Caller, name: str) -> Said:
    known = await caller.call("get_model", model="model:kept")
    if not known.ok:
        return known
    return await caller.call("register_model", model=known.result["versions"][0]["source"], name=name)


async def log(caller: Caller, name: str) -> Said:
    run = await caller.call("start_run", experiment=name, name="logged")
    if not run.ok:
        return run
    logged = await caller.call("log_run", run=run.result["run"], metrics={"auc": 0.5})
    ended = await caller.call("end_run", run=run.result["run"])
    return ended if logged.ok else logged


async def read(caller: Caller, name: str) -> Said:
    return await caller.call("get_model", model="model:kept", check=True)


WORK: dict[str, Callable[[Caller, str], Coroutine[Any, Any, Said]]] = {
    "train": train, "search": search, "register": register, "log_run": log, "read": read,
}  # fmt: skip


async def restarted(server: Server) -> None:
    await asyncio.to_thread(server.stop, signal.SIGKILL)
    await asyncio.sleep(AWAY_S)
    await asyncio.to_thread(server.start)


async def frozen(server: Server) -> None:
    server.freeze()
    await asyncio.sleep(FROZEN_S)
    server.thaw()


OUTAGES: dict[str, Callable[[Server], Coroutine[Any, Any, None]]] = {"restarted": restarted, "frozen 20 s": frozen}


async def measured(client: Client, backend: str, server: Server, work: str, outage: str) -> None:
    """One row of the table: jobs are met once they have begun, calls before they are made."""
    caller, name = Caller(client), f"o{uuid.uuid4().hex[:8]}"
    began = time.monotonic()
    if work in JOBS:
        last = (await newest(client)).get("job")
        doing = asyncio.create_task(WORK[work](caller, name))
        await begun(client, last)
        away_s = await seconds_of(OUTAGES[outage](server))
    else:
        going_away = asyncio.create_task(seconds_of(OUTAGES[outage](server)))
        await asyncio.sleep(0.3)
        doing = asyncio.create_task(WORK[work](caller, name))
        away_s = await going_away
    said = await doing
    took = time.monotonic() - began
    again = await WORK[work](caller, f"{name}b")
    open_runs, twice = await left(caller, name, work)
    notes = " ".join(map(str, said.result.get("notes") or []))[:80] if said.ok else said.text[:160]
    verdict = f"{'done' if said.ok else 'refused'} after {took:5.1f} s"
    print(
        f"{backend:<10}{work:<10}{outage:<13}away {away_s:5.1f} s  {verdict:<24}again"
        f" {'done' if again.ok else again.text[:80]:<6} open {open_runs} twice {twice}  {' '.join(notes.split())}",
        flush=True,
    )


async def seconds_of(outage: Coroutine[Any, Any, None]) -> float:
    """How long it took until the backend answered again; on a busy machine a server takes long to start."""
    began = time.monotonic()
    await outage
    return time.monotonic() - began


async def newest(client: Client) -> dict[str, Any]:
    listed = (await client.call_tool("list_jobs", {"limit": 1})).structured_content or {}
    return dict((listed.get("items") or [{}])[0])


async def begun(client: Client, last: str | None) -> None:
    """Wait until a job that is newer than the last one has told of its progress, or ended."""
    while True:
        job = await newest(client)
        if job.get("job") != last and (job.get("progress") or job["state"] not in ("queued", "running")):
            return
        await asyncio.sleep(0.1)


async def left(caller: Caller, name: str, work: str) -> tuple[int, int]:
    """Runs that are still open in the experiment of this work, and what is there more than once."""
    if work in ("register", "read"):
        known = await caller.call("get_model", model=f"model:{name}")
        return 0, max(0, len(known.result.get("versions", [])) - 1)
    found = await caller.call("search_runs", experiment=name, limit=100)
    runs = found.result.get("items", [])
    titles = [run.get("name") for run in runs if run["status"] == "FINISHED"]
    return sum(run["status"] == "RUNNING" for run in runs), len(titles) - len(set(titles))


async def table(folder: Path, wanted: list[str], works: list[str]) -> None:
    with ExitStack() as stack:
        database = Database(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pg"))))
        os.chmod(database.folder, 0o755)
        address = stack.enter_context(postgres.running(database.folder, lambda name: shutil.which(name) or name))
        store = address.replace("postgresql:", "postgresql+psycopg:")
        s3 = stack.enter_context(running(s3_store(folder)))
        make_bucket(s3)
        way = Way(stack.enter_context(gate_to(s3.port)), s3)
        os.environ |= {**KEYS, "MLFLOW_S3_ENDPOINT_URL": f"http://{OWN_HOST}:{way.gate.port}"}
        mlflow = stack.enter_context(running(mlflow_server(folder, store, {})))
        servers: dict[str, Server] = {"postgres": database, "mlflow": mlflow, "s3": way}
        shared = {
            "mlflow.tracking_uri": address_of(mlflow), "mlflow.artifact_root": f"s3://{BUCKET}",
            "runtime.job_store": address, "optuna.study_storage": address, "runtime.job_slots": 2,
            "runtime.client_waits": {"*": 45},
        }  # fmt: skip
        await rows(folder / "here", shared, {name: servers[name] for name in servers if name in wanted}, works)
        if {"scheduler", "workers"} & set(wanted):
            scheduler = stack.enter_context(running(dask_scheduler(folder)))
            workers: Program = stack.enter_context(running(dask_workers(folder, scheduler.port)))
            own = {"runtime.engine": "dask", "runtime.scheduler": f"tcp://127.0.0.1:{scheduler.port}"}
            cluster: dict[str, Server] = {"scheduler": Cluster(scheduler, workers), "workers": workers}
            chosen = {name: cluster[name] for name in cluster if name in wanted}
            await rows(folder / "there", {**shared, **own}, chosen, [work for work in works if work in JOBS])


async def rows(home: Path, flags: dict[str, Any], servers: dict[str, Server], works: list[str]) -> None:
    if not servers:
        return
    settings = load({"MLOPS_HOME": str(home), "MLOPS_CONFIG": os.devnull, **PATIENT}, flags).settings
    async with connected(settings) as client:
        caller = Caller(client)
        await caller.call("generate_dataset", n_rows=4000)
        kept = await caller.call("train_model", **ASKED, params={"n_estimators": 20}, experiment="kept")
        registered = await caller.call("register_model", model=kept.result["model"], name="kept")
        if not registered.ok:  # a busy machine took longer than a probe waits: begin again
            raise SystemExit(f"there is nothing to work on: {registered.text}")
        for backend, server in servers.items():
            for work in works:
                for outage in OUTAGES:
                    await measured(client, backend, server, work, outage)


def main(*wanted: str) -> None:
    logging.disable(logging.CRITICAL)
    backends = [name for name in wanted if name in BACKENDS] or list(BACKENDS)
    works = [name for name in wanted if name in WORK] or list(WORK)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        asyncio.run(table(Path(folder), backends, works))


if __name__ == "__main__":
    main(*sys.argv[1:])
