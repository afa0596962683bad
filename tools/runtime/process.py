"""The process of one job: `python -m mlops_mcp.tools.runtime.process JOB ATTEMPT`.

It holds the lock that means "alive", writes its own progress and outcome, and starts the next queued
job when it ends, so that nothing depends on a server that may be gone.
"""

from __future__ import annotations

import importlib
import os
import sys
import time
from collections.abc import Callable
from typing import Any, get_type_hints

from pydantic import TypeAdapter

from ...config.settings import Settings
from ..tracing.span import Carrier, Span, Tracer
from ..tracing.store import TraceStore
from .alive import hold
from .launch import SETTINGS_VARIABLE, launch_next, lock_path, table_of
from .limits import divert_standard_streams, limit_memory, make_folders
from .models import Progress
from .table import JobTable, Row
from .work import Work
from .worker import Answer, attempt

REPORT_EVERY_S = 0.2


class Reporter:
    """Writes progress to the job's row, at most five times a second."""

    def __init__(self, table: JobTable, row: Row) -> None:
        self._table = table
        self._row = row
        self._last = 0.0

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if now - self._last >= REPORT_EVERY_S or progress.done >= progress.total:
            self._last = now
            self._table.report(self._row.id, self._row.attempt, progress.model_dump_json())


def main(identity: str, attempt_number: int) -> None:
    settings = Settings.model_validate_json(os.environ.pop(SETTINGS_VARIABLE))
    divert_standard_streams()
    make_folders()
    lock = hold(lock_path(settings, identity))
    table = table_of(settings)
    if table.started(identity, attempt_number, os.getpid()):
        limit_memory(settings.runtime.job_memory_mb)
        row = table.get(identity)
        _enter(row.folder)
        _run(settings, table, row)
    os.close(lock)
    launch_next(settings, table)


def _run(settings: Settings, table: JobTable, row: Row) -> None:
    store = TraceStore(settings.home / "traces.db", settings.tracing.max_mb)
    tracer = Tracer(store.put, settings.tracing.capture if settings.tracing.enabled else "off")
    function, request, result = _resolve(row.function)
    with tracer.span(
        f"job {row.tool}", parent=Carrier(row.trace_id, row.span_id), announce=True, job=row.id, attempt=row.attempt
    ) as span:
        work = Work(settings, tracer, Reporter(table, row))
        answer = attempt(lambda: _work(function, work, request.validate_json(row.request), result, span))
        failed = _error(answer, span)
    # Whoever sees the outcome finds the spans already there.
    store.close()
    if failed:
        table.finish(row.id, row.attempt, "failed", None, failed)
    else:
        table.finish(row.id, row.attempt, "done", answer.value, None)


def _work(function: Callable[..., Any], work: Work, request: Any, result: TypeAdapter[Any], span: Span) -> str:
    value = function(work, request)
    span.set_output(value)
    return result.dump_json(value).decode()


def _enter(folder: str) -> None:
    """Relative paths of the request mean what they meant to the submitter; without the folder they mean nothing."""
    try:
        os.chdir(folder)
    except OSError:
        os.chdir("/")


def _error(answer: Answer, span: Span) -> str:
    """What the caller is told; the trace says all."""
    if answer.failure is not None:
        span.fail(str(answer.failure))
        return str(answer.failure)
    if answer.crash is not None:
        print(answer.crash.traceback, file=sys.stderr)
        span.fail(answer.crash.details)
        return answer.crash.hint(span.trace_id)
    return ""


def _resolve(reference: str) -> tuple[Callable[..., Any], TypeAdapter[Any], TypeAdapter[Any]]:
    module, _, name = reference.partition(":")
    function = getattr(importlib.import_module(module), name)
    hints = get_type_hints(function)
    request = next(hint for parameter, hint in hints.items() if parameter not in ("work", "return"))
    return function, TypeAdapter(request), TypeAdapter(hints["return"])


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
