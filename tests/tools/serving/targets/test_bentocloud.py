"""What BentoCloud is asked, over a recording stand-in of its HTTP API, after the schemas of BentoML's own client.

BentoCloud itself was not asked: what it does with these requests is not shown here.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Generator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from mlops_mcp.config.load import load
from mlops_mcp.tools.errors import ToolFailure, Unavailable
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.serving.targets import bentocloud
from mlops_mcp.tools.serving.targets.cloud import configuration
from mlops_mcp.tools.tracing.span import Tracer

from .test_manifests import version

pytestmark = pytest.mark.slow

KEY = "a-key-of-this-test"
AT = "2026-11-01T10:00:00Z"
THING: dict[str, Any] = {"uid": "u", "created_at": AT, "updated_at": None, "deleted_at": None, "labels": []}
PERSON = {"name": "ada", "email": "ada@example.org", "first_name": "", "last_name": ""}
CLUSTER = {
    **THING, "name": "eu", "resource_type": "cluster", "description": "", "organization_name": "ml", "creator": PERSON,
}  # fmt: skip
PUSHED = {
    **THING, "description": "", "image_build_status": "", "upload_status": "pending", "upload_finished_reason": "",
    "presigned_upload_url": "", "presigned_download_url": "", "transmission_strategy": "proxy",
}  # fmt: skip


@dataclass
class Cloud:
    """Deployments by name; `asked` are the requests with their bodies, `refuses` with which status all are refused."""

    deployments: dict[str, Any] = field(default_factory=dict)
    asked: list[tuple[str, str, bytes, str]] = field(default_factory=list)
    uploaded: set[str] = field(default_factory=set)
    refuses: int = 0
    port: int = 0

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, object]:
        if self.refuses:
            return self.refuses, {"error": f"no: {KEY}"}
        kind, _, rest = path.removeprefix("/api/").partition("/")
        return self._deployment(method, rest, body) if kind == "v2" else self._stored(method, rest, body)

    def _deployment(self, method: str, path: str, body: bytes) -> tuple[int, object]:
        _, _, name = path.partition("/")
        name, _, order = name.partition("/")
        if method in ("POST", "PUT") and not order:
            given = json.loads(body)
            name = name or given["name"]
            self.deployments[name] = given | {"state": "deploying"}
        if name not in self.deployments:
            return 404, {"error": "record not found"}
        if order == "terminate":
            self.deployments[name]["state"] = "terminated"
        return 200, described(name, self.deployments[name])

    def _stored(self, method: str, path: str, body: bytes) -> tuple[int, object]:
        repositories, _, rest = path.partition("/")
        name, _, rest = rest.partition("/")
        part, _, number = rest.partition("/")
        number, _, order = number.partition("/")
        kind = repositories.partition("_")[0]
        repository = {**THING, "name": name, "resource_type": kind, "description": "", f"latest_{kind}": None}
        if not part:
            return 200, repository
        if method == "GET" and f"{kind}/{name}:{number}" not in self.uploaded:
            return 404, {"error": "record not found"}
        if method == "PUT" and order == "upload":
            self.uploaded.add(f"{kind}/{name}:{number}")
            return 200, {}
        given = json.loads(body) if method == "POST" else {}
        number = number or given["version"]
        state = "success" if f"{kind}/{name}:{number}" in self.uploaded else "pending"
        manifest = (
            {"module": "", "api_version": "v1", "bentoml_version": "1", "size_bytes": 1} if kind == "model" else None
        )
        said = {**PUSHED, "name": number, "resource_type": kind, "version": number, "upload_status": state}
        return 200, {**said, "repository": repository, "manifest": given.get("manifest", manifest)}


def described(name: str, given: dict[str, Any]) -> dict[str, Any]:
    return {
        **THING, "name": name, "resource_type": "deployment", "status": given["state"], "kube_namespace": "ml",
        "creator": PERSON, "cluster": CLUSTER, "latest_revision": None, "labels": given.get("labels") or [],
        "urls": [f"https://{name}.example.org"],
    }  # fmt: skip


class Handler(BaseHTTPRequestHandler):
    cloud: Cloud

    def _answer(self) -> None:
        path = urlsplit(self.path).path
        body = self._body()
        self.cloud.asked.append((self.command, path, body, self.headers.get("X-YATAI-API-TOKEN", "")))
        status, content = self.cloud.answer(self.command, path, body)
        said = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        found = b""
        while size := int(self.rfile.readline(), 16):
            found += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return found

    do_GET = do_POST = do_PUT = do_PATCH = _answer

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: what was asked is kept."""


@pytest.fixture
def there() -> Generator[Cloud]:
    found = Cloud()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"cloud": found}))
    found.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


def with_account(folder: Path, endpoint: str, key: str = KEY) -> Work:
    given = {"bentocloud.endpoint": endpoint, "bentocloud.api_key": key}
    environ = {"MLOPS_HOME": str(folder / "home"), "MLOPS_CONFIG": os.devnull}
    work = Work(load(environ, given).settings, Tracer(lambda _span: None))
    for name in ("v1", "v2"):
        place = work.settings.bentoml_home / "bentos/loans" / name
        if not place.exists():
            place.mkdir(parents=True)
            content: dict[str, Any] = {
                "service": "service:Predictor", "name": "loans", "version": name, "bentoml_version": "1.4.0",
                "creation_time": AT, "labels": {}, "models": [], "entry_service": "loans",
            }  # fmt: skip
            (place / "bento.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
            (place / "README.md").write_text("", encoding="utf-8")
    return work


@pytest.fixture
def work(there: Cloud, tmp_path: Path) -> Work:
    return with_account(tmp_path, f"http://127.0.0.1:{there.port}")


def exported(folder: Path, called: str, **percents: int) -> Path:
    place = folder / called
    place.mkdir()
    versions = [version(number=number, percent=percent) for number, percent in percents.items()]
    content = yaml.safe_dump(configuration(versions))
    (place / bentocloud.CONFIGURATION).write_text(content, encoding="utf-8")
    return place


def test_an_export_is_deployed_as_it_was_written_after_the_bentos_of_all_its_versions(
    there: Cloud, work: Work, tmp_path: Path
) -> None:
    folder = exported(tmp_path, "first", v1=90, v2=10)
    done = bentocloud.apply(work, folder, "first")
    assert (done.done, done.new, done.before) == (["deployment/loans"], True, [])
    assert (done.seen.state, done.seen.namespace, done.seen.urls) == ("deploying", "eu", ["https://loans.example.org"])
    assert there.uploaded == {"bento/loans:v1", "bento/loans:v2"}
    written = yaml.safe_load((folder / bentocloud.CONFIGURATION).read_bytes())
    labels = [{"key": "mlops-mcp-export", "value": "first"}]
    assert given(there.deployments["loans"]) == {**written, "labels": labels, "dev": False, "state": "deploying"}
    uploads = [number for number, (method, path, *_) in enumerate(there.asked) if path.endswith("/upload")]
    made = next(number for number, (method, path, *_) in enumerate(there.asked) if (method, path) == DEPLOYS)
    assert max(uploads) < made


def given(node: Any) -> Any:
    """Without the fields that are left open."""
    if isinstance(node, dict):
        return {name: given(item) for name, item in node.items() if item is not None}
    return [given(item) for item in node] if isinstance(node, list) else node


DEPLOYS = ("POST", "/api/v2/deployments")


def test_the_key_goes_into_a_header_and_nowhere_else(there: Cloud, work: Work, tmp_path: Path) -> None:
    bentocloud.apply(work, exported(tmp_path, "first", v1=100), "first")
    assert {key for *_, key in there.asked} == {KEY}
    assert not [path for _, path, body, _ in there.asked if KEY in path or KEY.encode() in body]
    kept = (each for each in tmp_path.rglob("*") if each.is_file())
    assert not [each for each in kept if KEY.encode() in each.read_bytes()]


def test_a_later_export_takes_over_and_is_looked_at_and_ended_while_the_first_ends_nothing(
    there: Cloud, work: Work, tmp_path: Path
) -> None:
    first, second = exported(tmp_path, "first", v1=100), exported(tmp_path, "second", v2=100)
    assert bentocloud.look(work, first, "first").seen.state == "absent"
    bentocloud.apply(work, first, "first")
    taken = bentocloud.apply(work, second, "second")
    assert (taken.before, taken.new, there.deployments["loans"]["bento"]) == (["first"], False, "loans:v2")
    seen = bentocloud.look(work, second, "second")
    assert (seen.done, seen.left, seen.seen.state) == (["deployment/loans"], [], "deploying")
    assert bentocloud.withdraw(work, first, "first").left == ["deployment/loans"]
    assert there.deployments["loans"]["state"] == "deploying"
    gone = bentocloud.withdraw(work, second, "second")
    assert (gone.done, gone.seen.state) == (["deployment/loans"], "terminated")


def test_a_deployment_of_somebody_else_is_neither_changed_nor_ended(there: Cloud, work: Work, tmp_path: Path) -> None:
    folder = exported(tmp_path, "first", v1=100)
    there.deployments["loans"] = before = {"bento": "loans:theirs", "labels": [], "state": "running"}
    with pytest.raises(ToolFailure, match="deployment loans of BentoCloud was not made by this server"):
        bentocloud.apply(work, folder, "first")
    assert bentocloud.withdraw(work, folder, "first").left == ["deployment/loans"]
    assert there.deployments == {"loans": before}
    assert there.uploaded == set()


def test_a_folder_that_is_called_as_a_bento_is_not_built_in_its_place(
    there: Cloud, work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "loans:v1").mkdir()
    (tmp_path / "loans:v1/service.py").write_text("open('sprung', 'w').close()")
    monkeypatch.chdir(tmp_path)
    bentocloud.apply(work, exported(tmp_path, "first", v1=100), "first")
    assert there.deployments["loans"]["bento"] == "loans:v1"
    assert not list(tmp_path.rglob("sprung"))


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "does not accept the key.*bentocloud.api_key"),
        (403, "does not accept"),
        (500, "refuses"),
        (418, "refuses"),
    ],
)
def test_a_refusal_is_told_without_the_key(there: Cloud, work: Work, tmp_path: Path, status: int, words: str) -> None:
    there.refuses = status
    with pytest.raises(ToolFailure, match=words) as refused:
        bentocloud.apply(work, exported(tmp_path, "first", v1=100), "first")
    assert KEY not in str(refused.value)


def test_without_a_key_over_an_open_connection_or_where_nobody_answers_the_way_out_is_told(tmp_path: Path) -> None:
    folder = exported(tmp_path, "first", v1=100)
    with pytest.raises(ToolFailure, match=r"no account of BentoCloud is configured.*BENTO_CLOUD_API_KEY"):
        bentocloud.apply(with_account(tmp_path, "", ""), folder, "first")
    with pytest.raises(ToolFailure, match="sent the key in the open"):
        bentocloud.look(with_account(tmp_path, "http://cloud.example.org"), folder, "first")
    with pytest.raises(Unavailable, match=r"does not answer.*bentocloud\.endpoint"):
        bentocloud.look(with_account(tmp_path, "http://127.0.0.1:9"), folder, "first")
