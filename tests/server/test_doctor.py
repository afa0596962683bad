"""`doctor` finds what does not answer, asking all at once, and reports everything else all the same."""

from __future__ import annotations

import http.server
import json
import os
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from mlops_mcp.config.load import load
from mlops_mcp.server import probes
from mlops_mcp.server.doctor import examine, print_report
from mlops_mcp.server.probes import Backend

Examine = Callable[..., dict[str, Backend]]


@pytest.fixture
def backends(environ: dict[str, str]) -> Examine:
    """The backends of an installation with these variables, by name."""

    def ask(**variables: str) -> dict[str, Backend]:
        report = examine(load({**environ, **variables}).settings)
        return {backend.name: backend for backend in report.backends}

    return ask


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as once:
        return int(once.getsockname()[1])


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])


@contextmanager
def answering(status: int, seen: list[Any], asked: threading.Barrier | None = None) -> Generator[int]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append((self.path, dict(self.headers)))
            if asked is not None:
                asked.wait(120)
            self.send_response(status)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_an_empty_installation_is_healthy_and_creates_nothing(
    environ: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    settings = load(environ).settings
    assert print_report(settings) == 0
    printed = capsys.readouterr().out
    assert "FAILED" not in printed
    assert "mlflow 3." in printed
    assert not settings.home.exists()


@pytest.mark.parametrize("port", ["closed_port", "silent_port"])
def test_an_mlflow_server_that_is_dead_or_silent_is_named_with_its_setting(
    environ: dict[str, str], tmp_path: Path, port: str, request: pytest.FixtureRequest
) -> None:
    uri = f"http://bot:hunter2@127.0.0.1:{request.getfixturevalue(port)}"
    done = subprocess.run(
        [sys.executable, "-m", "mlops_mcp.server", "doctor"],
        env={"PATH": os.environ["PATH"], "HOME": f"{tmp_path}-user", **environ, "MLFLOW_TRACKING_URI": uri},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 1, done.stderr
    failed = next(line for line in done.stdout.splitlines() if "FAILED" in line)
    assert failed.split()[1] == "mlflow"
    assert "mlflow.tracking_uri (MLFLOW_TRACKING_URI)" in done.stdout
    assert "hunter2" not in done.stdout + done.stderr
    assert sum(line.startswith("  ok") for line in done.stdout.splitlines()) >= 5


def test_backends_are_asked_at_the_same_time(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "TIMEOUT_S", 120.0)
    asked = threading.Barrier(2)  # each is answered once both have asked
    with answering(200, [], asked) as port:
        address = f"http://127.0.0.1:{port}"
        variables = {"MLFLOW_TRACKING_URI": address, "OPIK_URL_OVERRIDE": f"{address}/api"}
        found = probes.answers(probes.questions(load({**environ, **variables}).settings), 120)
    assert [each.state for each in found if each.name in ("mlflow", "opik")] == ["ok", "ok"]


def test_every_backend_that_says_nothing_is_named_once_the_time_is_up(backends: Examine, silent_port: int) -> None:
    address = f"http://127.0.0.1:{silent_port}"
    found = backends(MLFLOW_TRACKING_URI=address, OPIK_URL_OVERRIDE=f"{address}/api")
    assert {name for name, backend in found.items() if backend.state == "failed"} == {"mlflow", "opik"}


def test_a_server_that_answers_is_asked_for_its_health_with_its_password(backends: Examine) -> None:
    seen: list[Any] = []
    with answering(200, seen) as port:
        found = backends(MLFLOW_TRACKING_URI=f"http://bot:hunter2@127.0.0.1:{port}/")
    assert (found["mlflow"].state, found["mlflow"].where) == ("ok", f"http://bot:[redacted]@127.0.0.1:{port}/")
    path, headers = seen[0]
    assert (path, headers["Authorization"]) == ("/health", "Basic Ym90Omh1bnRlcjI=")


def test_the_job_store_and_the_scheduler_are_asked_when_they_are_configured(backends: Examine) -> None:
    found = backends(
        MLOPS_RUNTIME__ENGINE="dask",
        MLOPS_RUNTIME__SCHEDULER="tcp://127.0.0.1:9",
        MLOPS_RUNTIME__JOB_STORE="postgresql://me:hunter2@127.0.0.1:9/jobs",
    )
    assert {name for name, backend in found.items() if backend.state == "failed"} == {"jobs", "dask"}
    assert (found["jobs"].remedy, found["dask"].remedy) == ("check runtime.job_store", "check runtime.scheduler")
    assert "hunter2" not in str(found)
    assert "dask" not in backends()


def test_opik_is_pinged_with_its_key_when_it_is_configured(backends: Examine) -> None:
    seen: list[Any] = []
    with answering(200, seen) as port:
        found = backends(OPIK_URL_OVERRIDE=f"http://127.0.0.1:{port}/api", OPIK_API_KEY="k", OPIK_WORKSPACE="w")
    assert found["opik"].state == "ok"
    path, headers = seen[0]
    assert (path, headers["Authorization"], headers["Comet-Workspace"]) == ("/api/is-alive/ping", "k", "w")
    assert "opik" not in backends()


@pytest.mark.parametrize(("status", "state"), [(401, "ok"), (404, "ok"), (503, "failed")])
def test_a_server_with_an_error_of_its_own_has_failed_and_one_that_wants_a_login_has_not(
    backends: Examine, status: int, state: str
) -> None:
    with answering(status, []) as port:
        found = backends(MLFLOW_TRACKING_URI=f"http://127.0.0.1:{port}")
    assert found["mlflow"].state == state
    assert str(status) in found["mlflow"].detail


def test_databases_over_the_network_are_asked_for_a_connection(
    backends: Examine, silent_port: int, closed_port: int
) -> None:
    found = backends(
        MLFLOW_TRACKING_URI=f"postgresql+psycopg2://u:p@127.0.0.1:{silent_port}/mlflow",
        MLOPS_OPTUNA__STUDY_STORAGE=f"postgresql://u:p@127.0.0.1:{closed_port}/optuna",
    )
    assert (found["mlflow"].state, found["optuna"].state) == ("ok", "failed")
    assert "optuna.study_storage" in found["optuna"].remedy


def test_a_file_that_is_no_database_has_failed(backends: Examine, environ: dict[str, str]) -> None:
    home = Path(environ["MLOPS_HOME"])
    home.mkdir()
    (home / "mlflow.db").write_text("x" * 4096)
    with closing(sqlite3.connect(home / "jobs.db")) as db:
        db.execute("create table jobs(id)")
    found = backends()
    assert (found["mlflow"].state, found["mlflow"].detail) == ("failed", "file is not a database")
    assert (found["jobs"].state, found["traces"].detail) == ("ok", "not created yet")


def test_a_home_that_is_a_file_has_failed(backends: Examine, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    found = backends(MLOPS_HOME=str(tmp_path / "file"))
    assert "is not a folder" in found["state folder"].detail


@pytest.mark.parametrize("uri", ["http://[::1", "http://127.0.0.1:port", "ftp://x", "databricks"])
def test_an_address_that_makes_no_sense_does_not_break_the_report(backends: Examine, uri: str) -> None:
    assert backends(MLFLOW_TRACKING_URI=uri)["mlflow"].state in ("failed", "unchecked")


def test_the_report_is_also_one_json_object(environ: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert print_report(load(environ).settings, as_json=True) == 0
    report = json.loads(capsys.readouterr().out)
    assert {library["name"] for library in report["libraries"]} >= {"mcp", "mlflow", "great-expectations", "bentoml"}
    assert [backend["name"] for backend in report["backends"]][:4] == ["state folder", "jobs", "traces", "mlflow"]
