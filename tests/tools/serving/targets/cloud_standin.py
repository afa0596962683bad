"""A recording stand-in of BentoCloud's HTTP API, after the schemas of BentoML's own client."""

from __future__ import annotations

import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

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


@contextmanager
def standing_cloud() -> Generator[Cloud]:
    found = Cloud()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"cloud": found}))
    found.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
