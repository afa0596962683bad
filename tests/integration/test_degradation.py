"""What is dead is named with its remedy, asked once, and everything else works on.

How long that takes is measured by `benchmarks/degradation.py`.
"""

from __future__ import annotations

import http.server
import json
import os
import re
import socket
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from .slices import (
    DEPLOY,
    EFFECT,
    EVALUATE,
    EXPLAIN,
    FEATURES,
    JOB,
    JOBS,
    MATERIALIZE,
    MODELS,
    PACKAGE,
    ROWS,
    RUN,
    STUDY,
    TRACES,
    TUNE,
    VIEW,
    Answers,
    others,
    server,
    train,
)

pytestmark = [pytest.mark.slow]

TOOL = re.compile(r"[a-z]+(?:_[a-z]+)+")


@dataclass
class Dead:
    """A backend of no use: its port, and how often somebody came to it (nobody can at a closed port)."""

    port: int
    asked: int = 0


@contextmanager
def closed() -> Generator[Dead]:
    with socket.create_server(("127.0.0.1", 0)) as once:
        dead = Dead(int(once.getsockname()[1]))
    yield dead


@contextmanager
def silent() -> Generator[Dead]:
    """It takes every connection and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        dead = Dead(int(listening.getsockname()[1]))
        threading.Thread(target=_take, args=(listening, dead), daemon=True).start()
        yield dead
        listening.shutdown(socket.SHUT_RDWR)


def _take(listening: socket.socket, dead: Dead) -> None:
    taken: list[socket.socket] = []
    with suppress(OSError):  # the end of the test
        while True:
            taken.append(listening.accept()[0])
            dead.asked += 1
    for connection in taken:
        connection.close()


@contextmanager
def broken() -> Generator[Dead]:
    """It answers everything with an error."""

    class Broken(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(500)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None: ...

    class Counting(http.server.ThreadingHTTPServer):
        def process_request(self, request: Any, client_address: Any) -> None:
            dead.asked += 1
            super().process_request(request, client_address)

    with Counting(("127.0.0.1", 0), Broken) as listening:
        dead = Dead(listening.server_port)
        threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield dead
        listening.shutdown()


@pytest.mark.parametrize("scheme", ["http", "postgresql"])
@pytest.mark.parametrize("backend", [closed, silent, broken])
async def test_a_dead_mlflow_is_asked_once_a_call_and_named_and_tools_without_mlflow_work(
    home: Path, scheme: str, backend: Callable[[], Any]
) -> None:
    with backend() as dead:
        address = f"127.0.0.1:{dead.port}"
        async with server(home, MLFLOW_TRACKING_URI=f"{scheme}://bot:hunter2@{address}/m") as client:
            answers = Answers(client)
            for number, call in enumerate((RUN, MODELS, EVALUATE, PACKAGE, EXPLAIN), 1):
                await answers.refuse(call, address, "mlflow.tracking_uri (MLFLOW_TRACKING_URI)", "[redacted]")
                assert dead.asked == (0 if backend is closed else number), f"{call[0]} asked more than once"
            if backend is silent:  # what is not asked is not asked however it is dead
                await answers.succeed(*others("tracking", "registry", "explain"))
        assert dead.asked == (0 if backend is closed else 5)


async def test_the_documents_addresses_break_only_what_uses_mlflow(home: Path) -> None:
    with closed() as dead:
        variables = {
            "MLFLOW_TRACKING_URI": f"postgresql://mlflow:password@127.0.0.1:{dead.port}/mlflow",
            "MLFLOW_ARTIFACT_ROOT": "s3://e2i-mlflow-artifacts",
            "OPIK_API_KEY": "your-opik-api-key",
            "ENVIRONMENT": "development",
        }
        async with server(home, **variables) as client:
            answers = Answers(client)
            await answers.refuse(RUN, "does not answer", "MLFLOW_TRACKING_URI")
            await answers.succeed(*others("tracking", "registry", "explain"))


def garbage(path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text("this is no database" * 500)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


async def test_a_damaged_feature_registry_is_named_with_its_folder(home: Path) -> None:
    garbage(home / "feast" / "registry.db")
    async with server(home) as client:
        answers = Answers(client)
        for call in (FEATURES, VIEW, MATERIALIZE):
            await answers.refuse(call, "file is not a database", str(home / "feast"), "feast.repo_path")
        await answers.succeed(*others("features"))


@pytest.mark.parametrize("path", ["postgresql://feast:hunter2@127.0.0.1/feast", "/dev/null/feast"])
async def test_a_feature_store_that_cannot_be_a_folder_is_named_with_its_setting(home: Path, path: str) -> None:
    async with server(home, FEAST_REPO_PATH=path) as client:
        answers = Answers(client)
        for call in (FEATURES, VIEW, MATERIALIZE):
            await answers.refuse(call, "feast.repo_path", "FEAST_REPO_PATH")
        await answers.succeed(*others("features"))


@pytest.mark.parametrize("backend", [closed, silent])
async def test_a_dead_study_storage_is_asked_once_a_call_and_named_with_its_setting(
    home: Path, backend: Callable[[], Any]
) -> None:
    with backend() as dead:
        address = f"postgresql://bot:hunter2@127.0.0.1:{dead.port}/optuna"
        async with server(home, MLOPS_OPTUNA__STUDY_STORAGE=address) as client:
            answers = Answers(client)
            await answers.refuse(STUDY, f"127.0.0.1:{dead.port}", "optuna.study_storage", "[redacted]")
            await answers.refuse(TUNE, "optuna.study_storage")
            assert dead.asked == (0 if backend is closed else 2)
            await answers.succeed(*others("tuning"))


async def test_a_job_table_that_cannot_be_read_stops_jobs_only(home: Path) -> None:
    garbage(home / "jobs.db")
    async with server(home) as client:
        answers = Answers(client)
        for call in (JOBS, MATERIALIZE, EVALUATE, ("get_job", {"job": "job:x"}), ("cancel_job", {"job": "job:x"})):
            await answers.refuse(call, "jobs.db", "file is not a database", "Move the file away")
        await answers.succeed(*others("jobs"))


async def test_traces_that_cannot_be_written_stop_reading_traces_only(home: Path) -> None:
    garbage(home / "traces.db")
    async with server(home) as client:
        answers = Answers(client)
        for call in (TRACES, ("get_trace", {"trace": "trace:x"})):
            await answers.refuse(call, "traces.db", "Move the file away")
        await answers.succeed(*others("observability"), EVALUATE)


async def test_a_bento_store_that_cannot_be_written_is_named_with_its_setting(home: Path) -> None:
    async with server(home, BENTOML_HOME="/dev/null/bentoml") as client:
        answers = Answers(client)
        for call in (PACKAGE, DEPLOY):
            await answers.refuse(call, "/dev/null/bentoml", "cannot be written", "bentoml.home (BENTOML_HOME)")
        await answers.succeed(*others())


async def test_an_endpoint_whose_process_was_killed_is_named_until_it_answers_again_by_itself(home: Path) -> None:
    async with server(home) as client:
        answers = Answers(client)
        await answers.succeed(DEPLOY)
        deployment = json.loads((home / "endpoints" / "e.json").read_text())["deployments"][0]
        os.killpg(deployment["pid"], 9)
        incomplete = ("predict", {"endpoint": "e", "rows": [{"call_frequency": 1}]})
        while "endpoint:e refuses the rows" not in (said := (await answers.ask(incomplete))[1]):
            assert "started again" in said or "still starting" in said, said
        await answers.succeed(*others(), ("stop_endpoint", {"endpoint": "e"}))


async def test_what_is_said_to_work_without_mlflow_does_and_what_is_said_to_need_it_does_not(home: Path) -> None:
    rows = {"dataset": ROWS}
    with closed() as dead:
        async with server(home, MLFLOW_TRACKING_URI=f"http://127.0.0.1:{dead.port}") as client:
            answers = Answers(client)
            _, text, _ = await answers.ask(RUN)
            works, needs = (set(TOOL.findall(part)) for part in text.split("Meanwhile")[1].split("package_model."))
            *_, trained = await answers.ask(train("RandomForest"))
            model = {"model": trained["result"]["model"]}
            use: dict[str, dict[str, Any]] = {
                "evaluate_model": {**model, **rows, **JOB},
                "predict_dataset": {**model, **rows, **JOB},
                "explain_model": {**model, **rows, **JOB},
            }
            assert model["model"].startswith("local:")
            assert works == {"train_model", *use}
            await answers.succeed(*use.items(), ("package_model", {**model, "name": "alone", **JOB}))
            refused = {
                "tune_model": TUNE[1],
                "compare_models": {**rows, "target": "target", "candidates": ["LogisticRegression"], **JOB},
                "estimate_effect": EFFECT[1],
                "promote_model": {**rows, "model": "tree", "candidate": model["model"], **JOB},
            }
            assert needs == set(refused)
            for call in refused.items():
                await answers.refuse(call, "does not answer", "MLFLOW_TRACKING_URI")
