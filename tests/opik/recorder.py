"""An Opik at the HTTP wire: it checks requests against Opik's own description, keeps what it accepts, can misbehave."""

from __future__ import annotations

import gzip
import json
import re
import socket
import struct
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.protocols import Validator

SPEC: dict[str, Any] = json.loads((Path(__file__).parent / "spec.json").read_text(encoding="utf-8"))
PREFIX = "/api"
Json = dict[str, Any]
Refuses = Callable[[Json], str]


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: Mapping[str, str]
    body: Any
    raw: bytes
    status: int
    at: float


@dataclass
class Recorder:
    """`behaviour`: `ok`, `hang`, `reset`, `html` or an HTTP status. `refuses`, `crashes`: what is wrong with a row."""

    behaviour: str = "ok"
    headers: Mapping[str, str] = field(default_factory=dict)
    key: str = ""
    missing: bool = False
    refuses: Refuses = lambda _row: ""
    crashes: Refuses = lambda _row: ""
    port: int = 0
    requests: list[Request] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    # by table and id: the bodies that were accepted, in order
    accepted: dict[tuple[str, str], list[Json]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        self.lock = threading.Lock()
        self.released = threading.Event()
        self._server: _Server | None = None

    def __enter__(self) -> Recorder:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        self._server = _Server(("127.0.0.1", self.port), _Handler)
        self._server.recorder = self
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Go away with all connections, like a server that was killed."""
        self.released.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.cut()
            self._server.server_close()
            self._server = None

    def become(self, behaviour: str, headers: Mapping[str, str] | None = None) -> None:
        self.behaviour, self.headers = behaviour, headers or {}
        self.released.set()
        self.released = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{PREFIX}"

    def rows(self, table: str) -> dict[str, Json]:
        """The accepted rows of a table as they stand, by id."""
        with self.lock:
            return {key: bodies[-1] for (name, key), bodies in self.accepted.items() if name == table}

    @property
    def duplicates(self) -> int:
        """How often the same revision of a row was accepted again."""
        with self.lock:
            return sum(len(bodies) - len({_mark(body) for body in bodies}) for bodies in self.accepted.values())

    def answer(self, behaviour: str, method: str, path: str, headers: Mapping[str, str], raw: bytes) -> tuple[int, str]:
        body = json.loads(raw) if raw else None
        status, text = self._judge(behaviour, method, path, headers, body)
        with self.lock:
            self.requests.append(Request(method, path, headers, body, raw, status, time.monotonic()))
            if status < 300 and behaviour == "ok":
                for table, key, row in _rows(method, path, body):
                    self.accepted[table, key].append(row)
        return status, text

    def _judge(self, behaviour: str, method: str, path: str, headers: Mapping[str, str], body: Any) -> tuple[int, str]:
        self.problems.extend(problems(method, path, body))
        if behaviour.isdigit():
            return int(behaviour), "as told"
        if self.key and headers.get("authorization") != self.key:
            return 401, "the key is not valid"
        if self.missing and method == "PATCH":
            return 404, "no such row"
        for _, _, row in _rows(method, path, body):
            if wrong := self.refuses(row):
                return 400, wrong
            if wrong := self.crashes(row):
                return 500, wrong
        return 204, ""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    recorder: Recorder

    def __init__(self, *arguments: Any) -> None:
        self.connections: set[socket.socket] = set()
        super().__init__(*arguments)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that was cut."""

    def cut(self) -> None:
        for connection in list(self.connections):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _handle(self) -> None:
        recorder = cast(_Server, self.server).recorder
        behaviour, released, more = recorder.behaviour, recorder.released, recorder.headers
        size = int(self.headers.get("Content-Length") or 0)
        raw = self.rfile.read(size)
        if len(raw) < size:
            self.close_connection = True
            return
        plain = gzip.decompress(raw) if self.headers.get("Content-Encoding") == "gzip" else raw
        headers = {name.lower(): value for name, value in self.headers.items()}
        status, text = recorder.answer(behaviour, self.command, self.path.removeprefix(PREFIX), headers, plain)
        if behaviour == "hang":
            released.wait(300)
            self.close_connection = True
        elif behaviour == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            self.close_connection = True
        elif behaviour == "html":
            self._send(200, b"<html>", {"Content-Type": "text/html"})
        else:
            content = b"" if status == 204 else json.dumps({"code": status, "message": text}).encode()
            self._send(status, content, {"Content-Type": "application/json", **more})

    def _send(self, status: int, content: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _handle

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def _mark(body: Json) -> str:
    return json.dumps(body, sort_keys=True)


def _rows(method: str, path: str, body: Any) -> Iterator[tuple[str, str, Json]]:
    """Table, key and content of every row of a request."""
    table = path.split("/")[3] if path.count("/") > 3 else ""
    if path.endswith("/batch"):
        yield from ((table, row["id"], row) for row in body[table])
    elif path.endswith("/feedback-scores"):
        yield from ((f"{table}_scores", f"{row['id']}:{row['name']}", row) for row in body["scores"])
    elif method == "PATCH":
        identity = path.rpartition("/")[2]
        yield table, identity, {**body, "id": identity, "patched": True}


def problems(method: str, path: str, body: Any) -> list[str]:
    """What of a request Opik's own description does not know or allow."""
    if (method, path) == ("GET", "/is-alive/ping"):
        return []
    known = path if path in SPEC["requests"] else next((name for name in SPEC["requests"] if _matches(name, path)), "")
    schema = SPEC["requests"].get(known, {}).get(method.lower())
    if schema is None:
        return [f"{method} {path} is not described"]
    found = [error for validator in _validators(json.dumps(schema)) for error in validator.iter_errors(body)]
    return [f"{method} {path} {'/'.join(map(str, error.absolute_path))}: {error.message[:200]}" for error in found]


def _matches(template: str, path: str) -> bool:
    return re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path) is not None


def _validators(schema: str) -> Iterator[Validator]:
    """As it is written, and with every field forbidden that is not mentioned."""
    for components in (SPEC["components"], _closed(SPEC["components"])):
        whole = {**json.loads(schema), "components": components}
        yield Draft202012Validator(whole, format_checker=FormatChecker())


def _closed(node: Any) -> Any:
    if isinstance(node, list):
        return [_closed(item) for item in node]
    if not isinstance(node, dict):
        return node
    forbid = {"additionalProperties": False} if "properties" in node and "additionalProperties" not in node else {}
    return {name: _closed(item) for name, item in node.items()} | forbid


def within_a_day(row: Json) -> str:
    """Opik's cloud: the time in an id is at most a day off."""
    at = uuid.UUID(row["id"]).int >> 80
    return "" if abs(time.time() - at / 1000) < 24 * 3600 else f"the id {row['id']} is out of the window"
