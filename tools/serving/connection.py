"""HTTP to the services: kept-alive connections, and what their refusals mean."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ValidationError

from ..errors import ToolFailure
from .models import Row, ServiceAnswer

HOST = "127.0.0.1"
PROBE_TIMEOUT_S = 1.0
PREDICT_TIMEOUT_S = 60.0
MAX_KEPT = 32
# The header by which the proxy says which deployment has answered.
DEPLOYMENT = "X-Deployment"
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
    """One open connection per endpoint."""

    def __init__(self) -> None:
        self._open: dict[Front, http.client.HTTPConnection] = {}

    def post(self, front: Front, token: str, path: str, content: object) -> Reply:
        """Send once more if a kept connection turns out to be closed: a prediction changes nothing.

        Raises:
            Unreachable: nobody listens, or the connection breaks.
        """
        body = json.dumps(content).encode()
        kept = front in self._open
        try:
            return self._send(front, token, path, body)
        except DROPPED as error:
            self._close(front)
            if not kept:
                raise Unreachable(str(error)) from error
        return self.post(front, token, path, content)

    def close(self) -> None:
        for front in list(self._open):
            self._close(front)

    def _send(self, front: Front, token: str, path: str, body: bytes) -> Reply:
        connection = self._of(front)
        try:
            connection.request("POST", f"/{front.endpoint}{path}", body, _headers(token))
            response = connection.getresponse()
            return Reply(response.status, response.read(), response.headers.get(DEPLOYMENT, ""))
        except DROPPED:
            raise
        except TimeoutError as error:
            self._close(front)
            raise ToolFailure(f"endpoint:{front.endpoint} did not answer within {PREDICT_TIMEOUT_S:g} s") from error
        except (http.client.HTTPException, OSError) as error:
            self._close(front)
            raise Unreachable(str(error)) from error

    def _of(self, front: Front) -> http.client.HTTPConnection:
        if front not in self._open:
            if len(self._open) >= MAX_KEPT:
                self._close(next(iter(self._open)))
            self._open[front] = http.client.HTTPConnection(HOST, front.port, timeout=PREDICT_TIMEOUT_S)
        return self._open[front]

    def _close(self, front: Front) -> None:
        if connection := self._open.pop(front, None):
            connection.close()


def ask_predictions(
    connections: Connections, front: Front, token: str, rows: Sequence[Row]
) -> tuple[ServiceAnswer, str]:
    """The predictions of an endpoint, and the deployment that made them.

    Raises:
        ToolFailure: the service refused the rows, or is overloaded.
        ServiceFailed: only its log says why.
        Unreachable: nothing of it answers.
    """
    reply = connections.post(front, token, "/predict", {"rows": list(rows)})
    if not reply.deployment:
        raise Unreachable(_reason(reply.body))
    if reply.status == 200:
        return ServiceAnswer.model_validate_json(reply.body), reply.deployment
    if reply.status < 500:
        raise ToolFailure(f"endpoint:{front.endpoint} refuses the rows: {_reason(reply.body)}")
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
        response = connection.getresponse()
        return Reply(response.status, response.read())
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
