"""An MLflow server that answers to its own ends: no file, address or credential goes where it points."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from mlops_mcp.config.load import load
from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.modeling.store import find_model
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.tracing.span import Tracer
from mlops_mcp.tools.tracking import artifacts, client

RUN, MODEL = "0" * 32, f"m-{'0' * 32}"
OWN = f"mlflow-artifacts:/0/{RUN}/artifacts"
SAID = 13
SERVED = "/api/2.0/mlflow-artifacts/artifacts"
Answer = dict[str, Any] | bytes | tuple[int, dict[str, str]]


class Hostile:
    """What it answers, by the end of the path; and what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        # Each time the next one; the last one from then on.
        self.locations: Iterator[str] = iter(())
        self.location = OWN
        self.files: dict[str, Answer] = {}
        self.models: dict[str, str] = {}
        self.outputs: list[str] = []

    def answer(self, path: str, query: dict[str, list[str]]) -> Answer:
        if path.endswith("/runs/get"):
            self.location = next(self.locations, self.location)
            outputs = {"model_outputs": [{"model_id": each, "step": 0} for each in self.outputs]}
            info = {
                "run_id": RUN, "run_uuid": RUN, "experiment_id": "0", "status": "RUNNING", "start_time": 1,
                "artifact_uri": self.location, "lifecycle_stage": "active",
            }  # fmt: skip
            return {"run": {"info": info, "data": {}, "outputs": outputs}}
        if path.endswith("/experiments/get"):
            return {"experiment": {"experiment_id": "0", "name": "e", "artifact_location": OWN}}
        if "/logged-models/m-" in path:
            asked = path.rpartition("/")[2]
            return {"model": {"info": {"model_id": asked, "experiment_id": "0", "artifact_uri": self.models[asked]}}}
        if path.endswith("/search"):
            return {}
        if path == SERVED:
            names = [name for name in self.files if "path" in query]
            return {"files": [{"path": name, "is_dir": False, "file_size": SAID} for name in names]}
        if path.startswith(SERVED):
            return self.files[path.rpartition("/")[2]]
        return (200 if path == "/health" else 404), {}


@pytest.fixture
def hostile() -> Hostile:
    return Hostile()


@pytest.fixture
def address(hostile: Hostile) -> Generator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.do_GET()

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            hostile.asked.append((self.command, parts.path))
            answer = hostile.answer(parts.path, parse_qs(parts.query))
            status, headers, body = 200, dict[str, str](), b""
            if isinstance(answer, tuple):
                status, headers = answer
            else:
                body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            try:
                self.wfile.write(body)
            except OSError:  # it was enough
                return

        def do_PUT(self) -> None:
            hostile.asked.append((self.command, urlsplit(self.path).path))
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture
def work(address: str, tmp_path: Path, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Work:
    for name, value in {"MAX_RETRIES": "0", "TIMEOUT": "5"}.items():
        monkeypatch.setenv(f"MLFLOW_HTTP_REQUEST_{name}", value)
    monkeypatch.setenv("MLFLOW_ALLOW_HTTP_REDIRECTS", "false")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "planted")
    settings = load(environ, {"mlflow.tracking_uri": address, "data.roots": [str(tmp_path / "root")]}).settings
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "rows.csv").write_text("x\n1\n")
    return Work(settings, Tracer(lambda _span: None))


@contextmanager
def undialled() -> Generator[int]:
    """A port of this machine that nobody speaks to while the body runs."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.05)
        yield int(listener.getsockname()[1])
        with pytest.raises(TimeoutError):
            listener.accept()


def test_what_is_fetched_is_what_was_looked_at(hostile: Hostile, work: Work, tmp_path: Path) -> None:
    """MLflow's own client asks for the location again, and believes the second answer."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.txt").write_text("a secret")
    calls: tuple[Callable[[], object], ...] = (
        lambda: artifacts.list_artifacts(work, RUN, "", 10, ""),
        lambda: artifacts.read_artifact(work, RUN, "secret.txt", 0),
        lambda: client.log_artifact(work, RUN, str(tmp_path / "root" / "rows.csv"), ""),
        lambda: client.log_text(work, RUN, "report.md", "text"),
    )
    for call in calls:
        hostile.files = {"secret.txt": b"of the server"}
        hostile.locations = iter((OWN, *[outside.as_uri()] * 20))
        call()
    assert [path.name for path in outside.iterdir()] == ["secret.txt"]
    put = [path for method, path in hostile.asked if method == "PUT"]
    assert [path.rpartition("/")[2] for path in put] == ["rows.csv", "report.md"]


def test_a_file_is_not_read_beyond_the_bound_whatever_the_server_says_of_it(hostile: Hostile, work: Work) -> None:
    hostile.files = {"big.txt": b"x" * (artifacts.MOST_BYTES + 1)}
    with pytest.raises(ToolFailure, match="more than the 20000000 bytes"):
        artifacts.read_artifact(work, RUN, "big.txt", 0)
    hostile.files = {"big.txt": b"x" * 100}
    with pytest.raises(ToolFailure, match="100 bytes, and 13 were said"):
        artifacts.read_artifact(work, RUN, "big.txt", 0)


def test_a_redirection_is_not_followed(hostile: Hostile, work: Work) -> None:
    with undialled() as port:
        hostile.files = {"a.txt": (302, {"Location": f"http://127.0.0.1:{port}/latest/meta-data"})}
        with pytest.raises(ToolFailure, match="0 bytes, and 13 were said"):
            artifacts.read_artifact(work, RUN, "a.txt", 0)


@pytest.mark.parametrize("path", ["/x", "/api/2.0/mlflow-artifacts/artifacts"])
def test_the_token_goes_to_no_other_host(hostile: Hostile, work: Work, tmp_path: Path, path: str) -> None:
    with undialled() as port:
        hostile.location = f"mlflow-artifacts://127.0.0.1:{port}{path}"
        for call in (
            lambda: artifacts.list_artifacts(work, RUN, "", 10, ""),
            lambda: client.log_artifact(work, RUN, str(tmp_path / "root" / "rows.csv"), ""),
        ):
            with pytest.raises(ToolFailure, match="are not opened"):
                call()


def test_the_files_of_a_model_are_looked_for_nowhere_else(hostile: Hostile, work: Work, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "model.json").write_text("{}")
    hostile.outputs = [MODEL]
    for location in (outside.as_uri(), work.home.as_uri(), f"{work.home}/artifacts/?/../../.."):
        hostile.models = {MODEL: location}
        for call in (
            lambda: find_model(work, f"models:/{MODEL}"),
            lambda: artifacts.list_artifacts(work, RUN, MODEL, 10, ""),
            lambda: artifacts.read_artifact(work, RUN, f"{MODEL}/model.json", 0),
        ):
            with pytest.raises(ToolFailure, match=r"lies outside|is private"):
                call()
    with undialled() as port:
        for scheme in ("ftp", "http", "mlflow-artifacts"):
            hostile.models = {MODEL: f"{scheme}://127.0.0.1:{port}/x"}
            with pytest.raises(ToolFailure, match="are not opened"):
                find_model(work, f"models:/{MODEL}")


@pytest.mark.parametrize("identity", ["m-../../../datasets", f"m-{'0' * 31}/", "m-..%2f..", "m-0"])
def test_what_is_no_id_of_a_model_is_asked_for_nowhere(hostile: Hostile, work: Work, identity: str) -> None:
    hostile.outputs = [identity]
    for reference in (f"run:{RUN}", f"models:/{identity}"):
        with pytest.raises(ToolFailure):
            find_model(work, reference)
    assert not [path for _, path in hostile.asked if "logged-models/m-" in path]


def test_a_location_that_is_no_place_is_refused(hostile: Hostile, work: Work) -> None:
    for location in ("", "  ", "file:", "/a\0b", "http://[", "mlflow-artifacts://[/"):
        hostile.location = location
        with pytest.raises(ToolFailure, match=r"no artifacts can lie|are not opened"):
            artifacts.list_artifacts(work, RUN, "", 10, "")
