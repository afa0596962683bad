"""The inside of a job: resolve its function, run it, and say everything over one connection."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from dataclasses import asdict
from multiprocessing.connection import Connection
from typing import Any

from pydantic import TypeAdapter

from ....config.settings import Settings
from ...errors import OutOfMemory, ToolFailure
from ...platforms import give_way
from ...replica.steps import in_step
from ...tracing.redaction import redact
from ...tracing.span import Carrier, Span, Tracer, under
from ..confined import confine_to
from ..identity import Identity
from ..limits import limit_memory, memory_mb
from ..models import Fault, Progress
from ..outcome import Outcome, outcome_of
from ..work import Reporter, Work
from .channel import SPAN
from .functions import resolve
from .supervisor import BEGAN, ENDED
from .table import End, JobRow

REPORT_EVERY_S = 0.2
# How long what a job has made waits for a database or a file store that is away.
PATIENCE_S = 120.0


class ChildChannel:
    """The child's end of the connection; libraries may call it from any thread."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._last = 0.0
        self._later: threading.Timer | None = None
        self._latest: Progress | None = None

    def say(self, kind: str, text: str) -> None:
        with self._lock:
            self._connection.send_bytes(json.dumps([kind, text]).encode())

    def report(self, progress: Progress) -> None:
        """Pass progress on at most five times a second; the last one always, even if no other follows."""
        self._latest = progress
        if self._later is not None and self._later.is_alive():
            return
        wait = self._last + REPORT_EVERY_S - time.monotonic()
        if wait <= 0:
            self._pass_on()
        else:
            self._later = threading.Timer(wait, self._pass_on)
            self._later.daemon = True
            self._later.start()

    def ask(self, questions: dict[str, Any]) -> dict[str, Any]:
        """Wait for the answers to some questions."""
        self.say("asks", json.dumps(questions))
        answers: dict[str, Any] = json.loads(self._connection.recv_bytes())
        return answers

    def span(self, span: Span) -> None:
        self.say(SPAN, json.dumps(asdict(span)))

    def end(self, end: End) -> None:
        if self._latest is not None:
            self._pass_on()
        self.say(ENDED, json.dumps(asdict(end)))

    def _pass_on(self) -> None:
        progress, self._latest, self._last = self._latest, None, time.monotonic()
        if progress is not None:
            self.say("progress", progress.model_dump_json())


def perform(settings: Settings, row: JobRow, carrier: Carrier, connection: Connection) -> None:
    """Run the function of a row in this process and send how it ended."""
    give_way(settings.runtime.job_nice)
    # Libraries that a warm start has loaded already are mapped here, and may take more than a low limit.
    limit_memory(settings.runtime.job_memory_mb + memory_mb()[0])
    _enter(row.folder)
    confine_to(settings, row.toolset, row.function)
    channel = ChildChannel(connection)
    with under(carrier):
        outcome = outcome_of(lambda: _result(settings, row, channel))
    channel.end(_end(outcome, carrier.trace_id))


def _result(settings: Settings, row: JobRow, channel: ChildChannel) -> str:
    function = resolve(row.function)
    channel.say(BEGAN, "")
    tracer = Tracer(channel.span, settings.tracing.capture_for(row.toolset))
    reporter = Reporter(channel.report, channel.say, channel.ask)
    # What the call was allowed to ask for has been looked at before it became a job.
    work = Work(
        settings, tracer, reporter, job=row.id, function=row.function, ends_at=_ends_at(row), by=Identity(row.owner)
    )
    request = TypeAdapter(function.request).validate_json(row.request)
    with in_step(settings, PATIENCE_S):
        return TypeAdapter(function.result).dump_json(function.call(work, request)).decode()


def _ends_at(row: JobRow) -> float | None:
    return time.monotonic() + row.limits.seconds if row.limits.seconds else None


def _enter(folder: str) -> None:
    """Relative paths of the request mean what they meant to the submitter; without the folder they mean nothing."""
    try:
        os.chdir(folder)
    except OSError:
        os.chdir("/")


def _end(outcome: Outcome, trace_id: str) -> End:
    """What the caller is told; the log says all."""
    if outcome.failure is not None:
        return End("failed", error=redact(str(outcome.failure)), fault=_fault(outcome.failure))
    if outcome.crash is not None:
        print(redact(outcome.crash.traceback), file=sys.stderr)
        return End("failed", None, outcome.crash.hint(trace_id), "crashed", asdict(outcome.crash))
    return End("done", outcome.value)


def _fault(failure: ToolFailure) -> Fault:
    return "memory" if isinstance(failure, OutOfMemory) else "refused"
