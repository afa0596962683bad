"""What is missing or dead is named with its remedy, asked once, and everything else works on.

How long that takes is measured by `benchmarks/degradation.py`.
"""

from __future__ import annotations

import asyncio
import http.server
import json
import os
import shutil
import socket
import sys
import threading
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters

from mlops_mcp.config.load import load

from ..conftest import UNHURRIED, connected

pytestmark = [pytest.mark.slow]

ROWS = "synthetic_e2i_classification"
Call = tuple[str, dict[str, Any]]

# Loaded by every Python process below the server, workers, jobs and endpoints included.
BLOCKER = """
import os, sys

absent = os.environ.get("PYTHON_ABSENT", "").split(",")

class Without:
    def __init__(self, finder):
        self._finder = finder

    def __getattr__(self, name):
        return getattr(self._finder, name)

    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in absent else self._finder.find_spec(name, path, target)

sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
"""

RULE = {"type": "expect_column_to_exist", "kwargs": {"column": "hcp_id"}}
JOB = {"wait_s": 50}
RUN: Call = ("start_run", {"name": "r"})
MODELS: Call = ("list_models", {})
EVALUATE: Call = ("evaluate_model", {"model": "model:tree/1", "dataset": ROWS, **JOB})
PACKAGE: Call = ("package_model", {"model": "model:tree/1", "name": "fresh", **JOB})
DEPLOY: Call = ("deploy_model", {"bento": "model:tree/1", "endpoint": "e", **JOB})
SUITE: Call = ("create_suite", {"name": "s", "expectations": [RULE]})
VALIDATE: Call = ("validate_dataset", {"dataset": ROWS, "suite": "e2i_classification_suite"})
VIEW: Call = (
    "register_features",
    {"dataset": ROWS, "view": "calls", "entity": "hcp_id", "timestamp_column": "observation_date"},
)
FEATURES: Call = ("list_features", {})
MATERIALIZE: Call = ("materialize_features", JOB)
STUDY: Call = ("get_study", {"study": "study:search"})
TUNE: Call = (
    "tune_model",
    {"dataset": ROWS, "target": "target", "algorithm": "LogisticRegression", "n_trials": 1, **JOB},
)
EXPLAIN: Call = ("explain_prediction", {"model": "model:tree/1", "dataset": ROWS, "index": 1})
EFFECT: Call = (
    "estimate_effect",
    {"dataset": ROWS, "treatment": "treatment", "outcome": "outcome", "controls": ["patient_volume"], **JOB},
)
JOBS: Call = ("list_jobs", {})
TRACES: Call = ("search_traces", {})

# Slice -> a call that must work whenever what it stands on is there.
WORKS: Mapping[str, Call] = {
    "data": ("describe_dataset", {"dataset": ROWS}),
    "quality": VALIDATE,
    "features": FEATURES,
    "tracking": RUN,
    "registry": MODELS,
    "training": ("list_algorithms", {}),
    "tuning": STUDY,
    "explain": EXPLAIN,
    "serving": ("list_endpoints", {}),
    "jobs": JOBS,
    "observability": TRACES,
}


def train(algorithm: str) -> Call:
    few = {"n_estimators": 10}
    return (
        "train_model",
        {"dataset": ROWS, "target": "target", "algorithm": algorithm, "params": few, "exclude": ["hcp_id"], **JOB},
    )


class Answers:
    """What a server answers to calls."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def ask(self, call: Call) -> tuple[bool, str, Any]:
        """Whether it failed, what it said and what it made; a job is followed to its end."""
        result = await self._client.call_tool(*call)
        made = result.structured_content or {}
        if made.get("state") in ("queued", "running") and call[0] != "cancel_job":
            return await self.ask(("get_job", {"job": made["job"], "wait_s": 50}))
        return bool(result.is_error), str(result.content), made

    async def refuse(self, call: Call, *words: str) -> None:
        failed, text, _ = await self.ask(call)
        assert failed, f"{call[0]} succeeded: {text[:300]}"
        assert [word for word in words if word not in text] == [], f"{call[0]}: {text[:600]}"

    async def succeed(self, *calls: Call) -> None:
        answers = [(call[0], await self.ask(call)) for call in calls]
        assert {name: text[:400] for name, (failed, text, _) in answers if failed} == {}


def server(home: Path, **variables: str) -> AbstractAsyncContextManager[Client]:
    """A server in this process: its workers and jobs are forked from libraries that are loaded once for all tests."""
    return connected(load({"MLOPS_HOME": str(home), "MLOPS_CONFIG": os.devnull, **variables}).settings)


def server_without(home: Path, folder: Path, absent: Iterable[str], **variables: str) -> Client:
    """A server in a process of its own, in which and below which these libraries cannot be found."""
    (folder / "sitecustomize.py").write_text(BLOCKER, encoding="utf-8")
    hidden = {"PYTHONPATH": str(folder), "PYTHON_ABSENT": ",".join(absent)}
    return Client(
        StdioServerParameters(
            command=sys.executable,
            args=["-m", "mlops_mcp.server", "serve"],
            env={
                "PATH": os.environ["PATH"], "HOME": str(home), "MLOPS_HOME": str(home),
                **UNHURRIED, **hidden, **variables,
            },
            cwd=home,
        )
    )  # fmt: skip


async def prepare(home: Path) -> None:
    async with server(home) as client:
        answers = Answers(client)
        await answers.succeed(("generate_dataset", {"rows": 300}), VIEW)
        *_, trained = await answers.ask(train("RandomForest"))
        await answers.succeed(("register_model", {"model": trained["result"]["model"], "name": "tree"}))
        tool, arguments = TUNE
        await answers.succeed((tool, {**arguments, "study": "search"}))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder with a dataset, a feature view, a registered model and a study."""
    home = tmp_path_factory.mktemp("prepared")
    asyncio.run(prepare(home))
    return home


@pytest.fixture
def home(prepared: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(prepared, tmp_path / "home"))


def others(*slices: str) -> list[Call]:
    return [call for name, call in WORKS.items() if name not in slices]


# Library -> the extra that brings it, and the calls that need it.
NEEDED: Mapping[str, tuple[str, list[Call]]] = {
    "mlflow": ("tracking", [RUN, MODELS, EVALUATE, PACKAGE, EXPLAIN]),
    "great_expectations": ("quality", [SUITE, VALIDATE]),
    "feast": ("features", [FEATURES, MATERIALIZE]),
    "optuna": ("tuning", [STUDY, TUNE]),
    "shap": ("explain", [EXPLAIN]),
    "bentoml": ("serving", [PACKAGE, DEPLOY]),
    "xgboost": ("training", [train("XGBoost")]),
    "lightgbm": ("training", [train("LightGBM")]),
    "econml": ("causal", [EFFECT]),
    "opik": ("observability", []),
}
# What does its work with data, algorithms and our own state alone.
ALWAYS = ("data", "training", "serving", "jobs", "observability")


@dataclass(frozen=True)
class Alone:
    """Libraries without any of the others: the slices that work with them, and the absent ones that are asked for."""

    libraries: tuple[str, ...]
    works: tuple[str, ...]
    asked: tuple[str, ...] = ()


# Each slice works without every library that it does not stand on, and so without each of them.
ALONE = [
    Alone(("mlflow",), ("tracking", "registry"), tuple(NEEDED.keys() - {"mlflow"})),
    Alone(("great_expectations", "bentoml"), ("quality",), ("mlflow",)),
    Alone(("feast",), ("features",)),
    Alone(("optuna",), ("tuning",)),
    Alone(("mlflow", "shap"), ("explain",)),
]


def test_each_slice_and_each_library_is_tried_alone() -> None:
    assert {name for alone in ALONE for name in (*ALWAYS, *alone.works)} == WORKS.keys()
    assert {name for alone in ALONE for name in alone.asked} == NEEDED.keys()


@pytest.mark.parametrize("alone", ALONE, ids=["+".join(alone.libraries) for alone in ALONE])
async def test_a_slice_works_with_its_own_libraries_alone_and_what_needs_others_names_them_with_their_command(
    home: Path, tmp_path: Path, alone: Alone
) -> None:
    async with server_without(home, tmp_path, NEEDED.keys() - set(alone.libraries)) as client:
        answers = Answers(client)
        for library in alone.asked:
            extra, calls = NEEDED[library]
            for call in calls:
                command = f"not installed. Install it with: pip install 'mlops-mcp[{extra}]'"
                await answers.refuse(call, library, command)
        await answers.succeed(*(WORKS[name] for name in (*alone.works, *ALWAYS)))


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
            await answers.succeed(*others("tracking", "registry", "explain"))
        assert dead.asked == (0 if backend is closed else 5)


async def test_a_postgresql_that_lives_needs_a_driver_which_is_named(home: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=_say_no, args=(listening,), daemon=True).start()
        port = listening.getsockname()[1]
        address = f"postgresql://127.0.0.1:{port}/m"
        async with server_without(home, tmp_path, ["psycopg"], MLFLOW_TRACKING_URI=address) as client:
            await Answers(client).refuse(RUN, "psycopg is not installed", "pip install 'mlops-mcp[postgres]'")


def _say_no(listening: socket.socket) -> None:
    """PostgreSQL's answer to a client that asks for TLS."""
    connection, _ = listening.accept()
    with connection:
        connection.recv(8)
        connection.sendall(b"N")


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


async def test_an_artifact_store_that_needs_a_library_names_it_before_anything_is_written(home: Path) -> None:
    (home / "note.txt").write_text("x")
    async with server(home, MLFLOW_ARTIFACT_ROOT="s3://e2i-mlflow-artifacts") as client:
        answers = Answers(client)
        *_, run = await answers.ask(("start_run", {"experiment": "far", "name": "r"}))
        artifact = ("log_artifact", {"run": run["run"], "path": str(home / "note.txt")})
        await answers.refuse(artifact, "boto3 is not installed", "pip install 'mlops-mcp[s3]'")
        await answers.succeed(*others())


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


async def test_an_endpoint_whose_process_was_killed_is_named_with_the_call_that_starts_it_again(home: Path) -> None:
    async with server(home) as client:
        answers = Answers(client)
        await answers.succeed(DEPLOY)
        deployment = json.loads((home / "endpoints" / "e.json").read_text())["deployments"][0]
        os.killpg(deployment["pid"], 9)
        await answers.refuse(("predict", {"endpoint": "e", "rows": [{"call_frequency": 1}]}), "deploy_model(bento=")
        await answers.succeed(*others(), ("stop_endpoint", {"endpoint": "e"}))
