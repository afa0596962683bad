"""HTTP to the services: kept-alive connections, and what their refusals mean."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ValidationError

from ..errors import ToolFailure
from .models import Deployment, Row, ServiceAnswer

HOST = "127.0.0.1"
PROBE_TIMEOUT_S = 1.0
PREDICT_TIMEOUT_S = 60.0
MAX_KEPT = 32
DROPPED = (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError)


class Served(BaseModel):
    """What a service says that it is."""

    bento: str
    mark: str


class Unreachable(Exception):
    """Nothing answers as a service on the port of a deployment."""


class ServiceFailed(Exception):
    """The service answered with an HTTP status that means a fault of its own."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


@dataclass(frozen=True)
class Reply:
    status: int
    body: bytes


class Connections:
    """One open connection per deployment."""

    def __init__(self) -> None:
        self._open: dict[str, http.client.HTTPConnection] = {}

    def post(self, deployment: Deployment, token: str, path: str, content: object) -> Reply:
        """Send once more if a kept connection turns out to be closed: a prediction changes nothing.

        Raises:
            Unreachable: nobody listens, or the connection breaks.
        """
        body = json.dumps(content).encode()
        kept = deployment.id in self._open
        try:
            return self._send(deployment, token, path, body)
        except DROPPED as error:
            self._close(deployment.id)
            if not kept:
                raise Unreachable(str(error)) from error
        return self.post(deployment, token, path, content)

    def close(self) -> None:
        for identity in list(self._open):
            self._close(identity)

    def _send(self, deployment: Deployment, token: str, path: str, body: bytes) -> Reply:
        connection = self._of(deployment)
        try:
            connection.request("POST", path, body, _headers(token))
            response = connection.getresponse()
            return Reply(response.status, response.read())
        except DROPPED:
            raise
        except TimeoutError as error:
            self._close(deployment.id)
            raise ToolFailure(f"{deployment.bento} did not answer within {PREDICT_TIMEOUT_S:g} s") from error
        except (http.client.HTTPException, OSError) as error:
            self._close(deployment.id)
            raise Unreachable(str(error)) from error

    def _of(self, deployment: Deployment) -> http.client.HTTPConnection:
        if deployment.id not in self._open:
            if len(self._open) >= MAX_KEPT:
                self._close(next(iter(self._open)))
            self._open[deployment.id] = http.client.HTTPConnection(HOST, deployment.port, timeout=PREDICT_TIMEOUT_S)
        return self._open[deployment.id]

    def _close(self, identity: str) -> None:
        if connection := self._open.pop(identity, None):
            connection.close()


def ask_predictions(connections: Connections, deployment: Deployment, token: str, rows: Sequence[Row]) -> ServiceAnswer:
    """The predictions of a deployment.

    Raises:
        ToolFailure: the service refused the rows, or is overloaded.
        ServiceFailed: only its log says why.
        Unreachable: it does not answer at all.
    """
    reply = connections.post(deployment, token, "/predict", {"rows": list(rows)})
    if reply.status == 200:
        return ServiceAnswer.model_validate_json(reply.body)
    if reply.status < 500:
        raise ToolFailure(f"{deployment.bento} refuses the rows: {_reason(reply.body)}")
    if reply.status == 503:
        raise ToolFailure(f"{deployment.bento} is overloaded", "Send fewer rows, or deploy it with more replicas.")
    raise ServiceFailed(reply.status)


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
