"""The process that keeps one job: forked from the template, or a program of its own.

It holds the lock that means "alive", lets the work run in a child of its own (or on a cluster), writes progress and
outcome to the job's row, and starts the next queued job when it ends: nothing depends on a server that may be gone.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from typing import TypeVar

from ....config.settings import Settings
from ... import platforms
from ...errors import Unavailable
from ...storage.usage import Usage
from ...tracing.mentions import note_handles
from ...tracing.redaction import redact
from ...tracing.span import Carrier, Span, Tracer
from ...tracing.store.writer import TraceStore
from ..inherited import keep_only
from ..limits import divert_standard_streams, make_folders
from .alive import hold
from .channel import TableChannel
from .child import perform
from .forked import fork_self
from .launch import (
    SETTINGS_VARIABLE,
    Fork,
    KeeperStart,
    launch_next,
    lock_path,
    log_tail,
    mark_of,
    start_cleanup,
    table_of,
)
from .supervisor import Child, ProcessDied, Run
from .table import End, JobRow, JobTable

RETRY_S = 1.0
RETRIES = 600
# How long an outcome waits for the spans before it, and how long those wait for a store that is locked.
SPANS_FIRST_S, SPANS_WAIT_S = 4.0, 600.0
T = TypeVar("T")

logger = logging.getLogger(__name__)


def main(identity: str, attempt: int) -> None:
    """The keeper of a job that was started cold."""
    settings = Settings.model_validate_json(os.environ.pop(SETTINGS_VARIABLE))
    keep_only(dict(os.environ))
    divert_standard_streams()
    keep_attempt(settings, identity, attempt)


def main_forked(start: KeeperStart) -> None:
    """The keeper of a job in a process that has the libraries loaded; the next job is forked from here."""
    settings = Settings.model_validate_json(start.settings)
    keep_attempt(settings, start.identity, start.attempt, partial(fork_self, settings.runtime.job_threads))


def keep_attempt(settings: Settings, identity: str, attempt: int, fork: Fork | None = None) -> None:
    """Hold the lock while the attempt runs, write how it ended, and start the next job."""
    make_folders()
    lock = hold(lock_path(settings, identity))
    table = table_of(settings)
    if retried(lambda: table.started(identity, attempt, os.getpid())):
        keep(settings, table, retried(lambda: table.get(identity)))
    os.close(lock)
    launch_next(settings, table, fork)


def keep(settings: Settings, table: JobTable, row: JobRow) -> None:
    """Run one attempt and write how it ended."""
    run = _engine(settings)(settings, row)  # forks, so before the store has its thread
    store = TraceStore.of(settings)
    tracer = Tracer(store.put, settings.tracing.capture_for(row.toolset))
    above = Carrier(row.trace_id, row.span_id)
    with tracer.span(f"job {row.tool}", parent=above, announce=True, job=row.id, attempt=row.attempt) as span:
        end = run(span.carrier, TableChannel(table, row, store.put))
        _note(span, end)
    Usage(settings.home).add(row.owner, platforms.written())
    # Whoever sees the outcome finds the spans already there, unless somebody keeps their store locked.
    store.flush(SPANS_FIRST_S)
    retried(lambda: _write(settings, table, row, end))
    store.close(SPANS_WAIT_S)


def run_here(settings: Settings, row: JobRow) -> Run:
    """The work in a child of this process."""

    def work(carrier: Carrier, connection: Connection) -> None:
        perform(settings, row, carrier, connection)

    child = Child(work, mark_of(row.id, row.attempt))
    return lambda carrier, channel: child.run(carrier, channel, row.limits, lambda: log_tail(settings, row.id))


def _engine(settings: Settings) -> Callable[[Settings, JobRow], Run]:
    if settings.runtime.engine == "local":
        return run_here
    from ..dask.engine import run_on_cluster

    return run_on_cluster


def _note(span: Span, end: End | ProcessDied) -> None:
    if isinstance(end, ProcessDied):
        span.fail(str(end))
    elif end.state == "done":
        result = json.loads(end.result or "null")
        span.set_output(result)
        note_handles(span, result)
    elif end.state == "cancelled":
        span.status = "cancelled"
    elif end.crash:
        span.crash(end.crash["type"], end.crash["message"], end.crash["traceback"])
    else:
        span.fail(end.error or "failed")
        span.error_type = "ToolFailure"


def _write(settings: Settings, table: JobTable, row: JobRow, end: End | ProcessDied) -> None:
    """What is left open is tidied up only by whoever ended the attempt."""
    now = table.get(row.id)
    ended_well = isinstance(end, End) and end.state == "done"
    # Before the row may be claimed again, which forgets it.
    if not ended_well and (cleanup := table.take_cleanup(row.id, row.attempt)):
        start_cleanup(settings, row, cleanup)
    if isinstance(end, ProcessDied):
        table.lose(row.id, row.attempt, redact(str(end)))
    else:
        kept = end.fault == "budget" and now.partial is not None
        outcome = End("cancelled", None, end.error, end.fault) if kept else end
        table.finish(row.id, row.attempt, outcome)


def retried(action: Callable[[], T]) -> T:
    """Try again while the table does not answer: the work of hours waits for its outcome to be written.

    Raises:
        Unavailable: it did not answer for ten minutes.
    """
    for _ in range(RETRIES):
        try:
            return action()
        except Unavailable as error:
            logger.warning("%s", error)
            time.sleep(RETRY_S)
    return action()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
