"""HTTP to the services: kept-alive connections, and what their refusals mean."""

from __future__ import annotations

import http.client
import json
import socket
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock

from pydantic import BaseModel, ValidationError

from ..errors import ToolFailure
from .models import Row, ServiceAnswer
from .proxy.places import HOST
from .proxy.table import DEPLOYMENT, WANTED

PROBE_TIMEOUT_S = 1.0
PREDICT_TIMEOUT_S = 60.0
MAX_KEPT = 32
MAX_ANSWER = 64 << 20
DROPPED = (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError)


class Served(BaseModel):
    """What a service says that it is."""

    bento: str
    mark: str


class Unreachable(Exception):
    """Nothing answers there as a service."""


class ServiceFailed(Exception):
    """The service answered with an HTTP status that means a fault of its own."""

    def __init__(self, status: int, deployment: str) -> None:
        super().__init__(status, deployment)
        self.status = status
        self.deployment = deployment


@dataclass(frozen=True)
class Reply:
    """`deployment` is the one that has answered, empty if it was the proxy itself."""

    status: int
    body: bytes
    deployment: str = ""


@dataclass(frozen=True)
class Front:
    """Where an endpoint takes calls, whatever serves them."""

    endpoint: str
    port: int


class Connections:
    """Kept-alive connections to endpoints, each used by one thread at a time."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._idle: OrderedDict[Front, list[http.client.HTTPConnection]] = OrderedDict()
        self._asking = set[http.client.HTTPConnection]()

    def post(self, front: Front, token: str, path: str, content: object, wanted: str = "") -> Reply:
        """Send once more if a kept connection turns out to be closed: a prediction changes nothing.

        Raises:
            Unreachable: nobody listens, or the connection breaks.
        """
        body, headers = json.dumps(content).encode(), {**_headers(token), **({WANTED: wanted} if wanted else {})}
        if kept := self._take(front):
            try:
                return self._send(kept, front, path, body, headers)
            except DROPPED:
                self._close(front)  # what was opened with it is most likely closed as well
        fresh = http.client.HTTPConnection(HOST, front.port, timeout=PREDICT_TIMEOUT_S)
        try:
            return self._send(fresh, front, path, body, headers)
        except DROPPED as error:
            raise Unreachable(str(error)) from error

    def close(self) -> None:
        """Close all, also those that somebody waits for, who is then told that nobody answers."""
        for front in list(self._idle):
            self._close(front)
        with self._lock:
            asking = list(self._asking)
        for each in asking:
            if each.sock:
                with suppress(OSError):
                    each.sock.shutdown(socket.SHUT_RDWR)

    def _send(
        self, connection: http.client.HTTPConnection, front: Front, path: str, body: bytes, headers: Mapping[str, str]
    ) -> Reply:
        reply = None
        with self._lock:
            self._asking.add(connection)
        try:
            connection.request("POST", f"/{front.endpoint}{path}", body, headers)
            reply = _read(connection)
            return reply
        except DROPPED:
            raise
        except TimeoutError as error:
            message = f"endpoint:{front.endpoint} did not answer within {PREDICT_TIMEOUT_S:g} s"
            raise ToolFailure(message, "Send fewer rows at a time, or deploy more replicas.") from error
        except (http.client.HTTPException, OSError) as error:
            raise Unreachable(str(error)) from error
        finally:
            with self._lock:
                self._asking.discard(connection)
            if reply is None:
                connection.close()
            else:
                self._keep(front, connection)

    def _take(self, front: Front) -> http.client.HTTPConnection | None:
        with self._lock:
            kept = self._idle.get(front)
            return kept.pop() if kept else None

    def _keep(self, front: Front, connection: http.client.HTTPConnection) -> None:
        """Keep a connection for the next call; those of what was not asked for the longest time go first."""
        with self._lock:
            self._idle.setdefault(front, []).append(connection)
            self._idle.move_to_end(front)
            gone: list[http.client.HTTPConnection] = []
            while sum(map(len, self._idle.values())) > MAX_KEPT:
                gone.append(next(iter(self._idle.values())).pop(0))
                self._idle = OrderedDict((name, kept) for name, kept in self._idle.items() if kept)
        for each in gone:
            each.close()

    def _close(self, front: Front) -> None:
        with self._lock:
            kept = self._idle.pop(front, [])
        for each in kept:
            each.close()


def _read(connection: http.client.HTTPConnection) -> Reply:
    """Raises http.client.HTTPException for an answer that no prediction is so long."""
    response = connection.getresponse()
    body = response.read(MAX_ANSWER + 1)
    if len(body) > MAX_ANSWER:
        raise http.client.HTTPException(f"an answer of more than {MAX_ANSWER >> 20} MiB")
    return Reply(response.status, body, response.headers.get(DEPLOYMENT, ""))


def ask_predictions(
    connections: Connections, front: Front, token: str, rows: Sequence[Row], wanted: str = ""
) -> tuple[ServiceAnswer, str]:
    """The predictions of an endpoint, and the deployment that made them.

    Raises:
        ToolFailure: the service refused the rows, or is overloaded.
        ServiceFailed: only its log says why.
        Unreachable: nothing of it answers.
    """
    reply = connections.post(front, token, "/predict", {"rows": list(rows)}, wanted)
    if not reply.deployment:
        raise Unreachable(_reason(reply.body))
    if reply.status == 200:
        return ServiceAnswer.model_validate_json(reply.body), reply.deployment
    if reply.status < 500:
        message = f"endpoint:{front.endpoint} refuses the rows: {_reason(reply.body)}"
        raise ToolFailure(message, "get_endpoint and package_model tell the features of its model and their kinds.")
    if reply.status == 503:
        raise ToolFailure(f"endpoint:{front.endpoint} is overloaded", "Send fewer rows, or deploy more replicas.")
    raise ServiceFailed(reply.status, reply.deployment)


def ask_identity(port: int, token: str) -> Served | None:
    """Who answers on a port; None if nobody does, or nobody of ours. It is told the token."""
    try:
        reply = _once(port, token, "POST", "/identity")
        return Served.model_validate_json(reply.body) if reply.status == 200 else None
    except (Unreachable, ValidationError):
        return None


def is_ready(port: int, token: str) -> bool:
    try:
        return _once(port, token, "GET", "/readyz").status == 200
    except Unreachable:
        return False


def _once(port: int, token: str, method: str, path: str) -> Reply:
    connection = http.client.HTTPConnection(HOST, port, timeout=PROBE_TIMEOUT_S)
    try:
        connection.request(method, path, b"{}" if method == "POST" else None, _headers(token))
        return _read(connection)
    except (http.client.HTTPException, OSError) as error:
        raise Unreachable(str(error)) from error
    finally:
        connection.close()


def _headers(token: str) -> Mapping[str, str]:
    return {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}


def _reason(body: bytes) -> str:
    """The words of our own checks, or what pydantic says of a request of another form."""
    try:
        content = json.loads(body)
    except ValueError:
        return body[:300].decode(errors="replace")
    if isinstance(content, list):  # what BentoML makes of an error of its own kinds
        content = next(iter(content), None)
    details = content.get("detail") if isinstance(content, Mapping) else None
    if not isinstance(details, list):
        return str(content.get("error", content) if isinstance(content, Mapping) else content)[:300]
    return "; ".join(_words(item) for item in details[:3] if isinstance(item, Mapping))


def _words(item: Mapping[str, object]) -> str:
    return str(item.get("msg", "")).removeprefix("Value error, ")[:600]
