"""What those ask who run a server: whether it lives, whether it can work, and how much it does."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from ..tools.errors import ToolFailure, Unavailable
from ..tools.tracing.store.drops import drops
from .access.crowd import Crowd, too_many
from .access.gate import counted_for
from .ending import ENDS, Ending
from .services import Services

ALIVE, READY, METRICS = "/healthz", "/readyz", "/metrics"
# Prometheus' text format, https://prometheus.io/docs/instrumenting/exposition_formats/
TEXT = "text/plain; version=0.0.4"


class Alive:
    """Answers `/healthz` before anything is looked at: whoever starts processes knows neither host name nor token.

    So does who balances loads, so that it is 503 as soon as no more calls are wanted.
    """

    def __init__(self, app: ASGIApp, ending: Ending) -> None:
        self._app = app
        self._ending = ending

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        alive = scope["type"] == "http" and scope["path"] == ALIVE and scope["method"] in ("GET", "HEAD")
        said = PlainTextResponse(ENDS, 503) if self._ending.announced else PlainTextResponse("ok")
        await (said if alive else self._app)(scope, receive, send)


class Operations:
    """`/readyz` and `/metrics`, for who may ask at all."""

    def __init__(self, services: Services, crowd: Crowd, ending: Ending) -> None:
        self._services = services
        self._crowd = crowd
        self._ending = ending
        self._began = time.time()

    @property
    def routes(self) -> list[Route]:
        return [Route(READY, self._ready, methods=["GET"]), Route(METRICS, self._metrics, methods=["GET"])]

    async def _ready(self, request: Request) -> Response:
        """200, or 503 with what is wrong."""
        if refused := self._one_too_many(request):
            return refused
        wrong = [ENDS] if self._ending.announced else list[str]()
        if not os.access(self._services.settings.home, os.W_OK | os.X_OK):
            wrong.append("the state folder cannot be written")
        try:
            await self._services.jobs.states()
        except Unavailable as failure:
            wrong.append(failure.message)
        return JSONResponse({"ready": not wrong, "wrong": wrong}, 503 if wrong else 200)

    async def _metrics(self, request: Request) -> Response:
        if refused := self._one_too_many(request):
            return refused
        try:
            jobs = await self._services.jobs.states()
        except Unavailable:  # the others are told all the same
            jobs = {}
        return PlainTextResponse("".join(self._lines(jobs)), media_type=TEXT)

    def _one_too_many(self, request: Request) -> Response | None:
        """What a caller is told who asks too often."""
        try:
            self._services.rates.admit(counted_for(request.scope))
        except ToolFailure as failure:
            return too_many(str(failure))
        return None

    def _lines(self, jobs: Mapping[str, int]) -> Iterator[str]:
        lost = drops(self._services.settings.trace_store)
        yield from _metric("mlops_start_time_seconds", "gauge", "When the server was started.", self._began)
        yield from _metric("mlops_http_requests", "gauge", "HTTP requests under way.", self._crowd.requests)
        yield from _metric("mlops_http_callers", "gauge", "Callers with a request or a session.", self._crowd.callers)
        yield from _metric("mlops_http_sessions", "gauge", "Sessions of the handshake era.", self._crowd.sessions)
        yield from _metric("mlops_spans_dropped_total", "counter", "Spans that could not be written.", lost)
        unwritten = self._services.audit.lost
        yield from _metric("mlops_audit_lost_total", "counter", "Lines the audit log could not take.", unwritten)
        yield from _family("mlops_jobs", "gauge", "Jobs of the state folder by state.")
        yield from (f'mlops_jobs{{state="{state}"}} {number}\n' for state, number in sorted(jobs.items()))


def _metric(name: str, kind: str, help: str, value: float) -> Iterator[str]:
    yield from _family(name, kind, help)
    yield f"{name} {value}\n"


def _family(name: str, kind: str, help: str) -> Iterator[str]:
    yield f"# HELP {name} {help}\n# TYPE {name} {kind}\n"
