"""What runs at one moment: backends, jobs, endpoints and traces, each read without changing anything."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from pydantic import ValidationError

from ...config.settings import Settings
from ...tools.errors import ToolFailure
from ...tools.runtime.jobs.launch import table_of
from ...tools.runtime.jobs.table import JobRow
from ...tools.runtime.models import Progress
from ...tools.runtime.work import Work
from ...tools.serving import endpoints
from ...tools.serving.listing import view_of
from ...tools.serving.models import EndpointView
from ...tools.storage.errors import storage_error
from ...tools.tracing.opik import outbox
from ...tools.tracing.redaction import redact
from ...tools.tracing.span import Tracer
from ...tools.tracing.store.destination import Destination
from ...tools.tracing.store.reader import TraceReader
from .. import probes
from ..probes import Backend

SHOWN = 8
WORDS = 120
T = TypeVar("T")


@dataclass(frozen=True)
class JobLine:
    """A job; `said` is its progress or its error, `seconds` how long ago it was asked for or how long it took."""

    job: str
    tool: str
    state: str
    seconds: float
    owner: str
    said: str


@dataclass(frozen=True)
class TraceLine:
    """A trace that began `ago_s` seconds before."""

    trace: str
    name: str
    ago_s: float
    seconds: float
    spans: int
    errors: int


@dataclass(frozen=True)
class Snapshot:
    """`states` counts the jobs, `waiting` the spans that Opik has not; `problems` are stores that cannot be read."""

    home: str
    taken: str
    backends: list[Backend]
    states: dict[str, int]
    jobs: list[JobLine]
    endpoints: list[EndpointView]
    traces: list[TraceLine]
    waiting: int
    problems: list[str]

    @property
    def healthy(self) -> bool:
        return not self.problems and all(each.state != "failed" for each in self.backends)


def look(settings: Settings, shown: int = SHOWN) -> Snapshot:
    """Read all of it; what cannot be read is a problem of the answer. Takes `probes.TIMEOUT_S` where a backend is dead.

    Args:
        shown: how many jobs that have ended, and how many traces, at most.
    """
    problems: list[str] = []

    def read(what: Callable[[], T], none: T) -> T:
        try:
            return what()
        except ToolFailure as failure:
            problems.append(redact(str(failure)))
        except ValidationError as error:
            problems.append(f"a row of the job table is damaged: {redact(str(error))[:WORDS]}")
        except (OSError, sqlite3.Error) as error:
            problems.append(redact(str(storage_error("the trace store", settings.trace_store, error))))
        return none

    states, jobs = read(lambda: _jobs(settings, shown), (dict[str, int](), list[JobLine]()))
    views = read(lambda: _endpoints(settings, problems), list[EndpointView]())
    traces = read(lambda: _traces(settings, shown), list[TraceLine]())
    waiting = read(lambda: outbox.status(settings.trace_store, Destination.of(settings)).waiting, 0)
    return Snapshot(
        home=str(settings.home),
        taken=datetime.now(UTC).isoformat(timespec="seconds"),
        backends=probes.answers(probes.questions(settings)),
        states=states,
        jobs=jobs,
        endpoints=views,
        traces=traces,
        waiting=waiting if Destination.of(settings) else 0,
        problems=problems,
    )


def _jobs(settings: Settings, shown: int) -> tuple[dict[str, int], list[JobLine]]:
    """Those that have not ended, whose number the slots and callers bound, and the last ones that have."""
    if not settings.job_store and not (settings.home / "jobs.db").exists():
        return {}, []
    table = table_of(settings)
    unfinished = sorted(table.unfinished(), key=lambda row: (row.state != "running", row.created))
    known = {row.id for row in unfinished}
    ended = [row for row in table.recent(shown + len(known)) if row.id not in known]
    return table.states(), [_line(row) for row in (*unfinished, *ended[:shown])]


def _line(row: JobRow) -> JobLine:
    under_way = row.progress if row.state == "running" else None
    said = row.error or (Progress.model_validate_json(under_way).words if under_way else "")
    return JobLine(
        f"job:{row.id}", row.tool, row.state, round(row.seconds, 1), row.owner, " ".join(redact(said).split())[:WORDS]
    )


def _endpoints(settings: Settings, problems: list[str]) -> list[EndpointView]:
    work = Work(settings, Tracer(lambda _span: None))
    views: list[EndpointView] = []
    for name in endpoints.names(work):
        try:
            views.append(view_of(work, name))
        except ToolFailure as failure:
            problems.append(redact(str(failure)))
    return views


def _traces(settings: Settings, shown: int) -> list[TraceLine]:
    now = time.time()
    return [
        TraceLine(
            f"trace:{each.trace_id}", redact(each.name), round(now - each.start, 1), round(each.seconds, 3),
            each.spans, each.errors,
        )
        for each in TraceReader(settings.trace_store).traces(shown)
    ]  # fmt: skip
