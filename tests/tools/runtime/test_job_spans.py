"""What the spans of jobs and workers say: what was made, what went wrong, and that a process died."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from mlops_mcp.config.settings import Settings
from mlops_mcp.tools.runtime import proctree
from mlops_mcp.tools.runtime.calls.executor import CallExecutor
from mlops_mcp.tools.runtime.jobs.launch import log_path, mark_of, table_of
from mlops_mcp.tools.runtime.jobs.queue import Jobs
from mlops_mcp.tools.runtime.jobs.submission import Submission
from mlops_mcp.tools.tracing.span import Carrier, Span, under
from mlops_mcp.tools.tracing.store.opening import opened
from mlops_mcp.tools.tracing.store.reader import TraceReader
from mlops_mcp.tools.tracing.store.writer import TraceStore

from ...waiting import eventually
from .conftest import ended

pytestmark = pytest.mark.slow

TRACE, CALL = "01934567-89ab-7cde-8f01-23456789abcd", "01934567-89ab-7cde-8f01-23456789abce"
RUN = "8f14e45fceea167a5a36dedd4bea2543"
SPEAKING = """
import time
from pathlib import Path
from pydantic import BaseModel
from mlops_mcp.tools.errors import ToolFailure

class Request(BaseModel):
    folder: str

class Made(BaseModel):
    model: str = "model:credit/3"
    run: str = "run:8f14e45fceea167a5a36dedd4bea2543"
    note: str = "a word"

def make(work, request: Request) -> Made:
    with work.tracer.span("fit", input={"rows": 3}): pass
    return Made()

def crash(work, request: Request) -> Made: raise ZeroDivisionError("password=hunter2secret")
def refuse(work, request: Request) -> Made: raise ToolFailure("no such column", "Try another.")

def twice(work, request: Request) -> Made:
    marker = Path(request.folder) / "first"
    if not marker.exists():
        marker.touch()
        while True: time.sleep(0.01)
    return Made()

def fit(work, rows):
    with work.tracer.span("fit", input={"rows": rows}): pass
"""


@pytest.fixture
def speaking(probes: Callable[[str, str], Any]) -> Any:
    return probes("speaking", SPEAKING)


@pytest.fixture
def jobs(settings: Settings) -> Generator[Jobs]:
    yield Jobs(settings)
    for row in table_of(settings).running():  # of a test that failed half-way
        proctree.kill(mark_of(row.id, row.attempt))


async def spans_of(settings: Settings, jobs: Jobs, function: Any, request: Any) -> dict[str, Span]:
    with under(Carrier(TRACE, CALL)):
        row = await jobs.submit(Submission("train_model", function, request, toolset="speaking"))
    await ended(jobs, row)
    return {span.name: span for span in TraceReader(settings.home / "traces.db").spans(TRACE)}


def less(settings: Settings, capture: str) -> Settings:
    tracing = settings.tracing.model_copy(update={"toolsets": {"speaking": capture}})
    return settings.model_copy(update={"tracing": tracing})


async def test_the_span_of_a_job_names_what_was_made(
    settings: Settings, jobs: Jobs, speaking: Any, tmp_path: Path
) -> None:
    spans = await spans_of(settings, jobs, speaking.make, speaking.Request(folder=str(tmp_path)))
    job = spans["job train_model"]
    assert (job.parent_id, job.status, job.metadata["attempt"]) == (CALL, "ok", 1)
    assert job.metadata["handles"] == ["model:credit/3", f"run:{RUN}"]
    assert job.metadata["mlflow_run_id"] == RUN
    assert spans["fit"].parent_id == job.id


async def test_a_job_that_crashes_keeps_the_exception_in_its_span_without_secrets(
    settings: Settings, jobs: Jobs, speaking: Any, tmp_path: Path
) -> None:
    spans = await spans_of(settings, jobs, speaking.crash, speaking.Request(folder=str(tmp_path)))
    job = spans["job train_model"]
    assert (job.status, job.error_type, job.error) == ("error", "ZeroDivisionError", "ZeroDivisionError: [redacted]")
    assert "in crash" in job.error_trace
    assert "hunter2" not in job.error_trace + log_path(settings, job.metadata["job"]).read_text()


async def test_a_job_that_refuses_is_a_failed_span_with_what_it_said(
    settings: Settings, jobs: Jobs, speaking: Any, tmp_path: Path
) -> None:
    job = (await spans_of(settings, jobs, speaking.refuse, speaking.Request(folder=str(tmp_path))))["job train_model"]
    assert (job.status, job.error_type, job.error) == ("error", "ToolFailure", "no such column. Try another.")


async def test_an_attempt_that_died_is_a_failed_span_next_to_that_of_the_second(
    settings: Settings, jobs: Jobs, speaking: Any, tmp_path: Path
) -> None:
    with under(Carrier(TRACE, CALL)):
        row = await jobs.submit(Submission("train_model", speaking.twice, speaking.Request(folder=str(tmp_path))))
    reader = TraceReader(settings.home / "traces.db")
    await eventually(lambda: (tmp_path / "first").exists() and reader.spans(TRACE))
    os.kill((await jobs.get(row.id)).pid, signal.SIGKILL)
    await ended(jobs, row)
    first, second = reader.spans(TRACE)
    assert (first.metadata["attempt"], first.status, first.parent_id) == (1, "error", CALL)
    assert first.error.startswith("its process died")
    assert (second.metadata["attempt"], second.status, second.parent_id) == (2, "ok", CALL)


@pytest.mark.parametrize(("capture", "names"), [("metadata", {"fit", "job train_model"}), ("off", set[str]())])
async def test_a_job_of_a_toolset_that_is_captured_less_keeps_less(
    settings: Settings, speaking: Any, tmp_path: Path, capture: str, names: set[str]
) -> None:
    settings = less(settings, capture)
    spans = await spans_of(settings, Jobs(settings), speaking.make, speaking.Request(folder=str(tmp_path)))
    assert set(spans) == names
    assert [span for span in spans.values() if span.input or span.output] == []


@pytest.mark.parametrize(("capture", "inputs"), [("full", [{"rows": 3}]), ("metadata", [None]), ("off", [])])
async def test_a_worker_of_a_toolset_that_is_captured_less_keeps_less(
    settings: Settings, speaking: Any, capture: str, inputs: list[Any]
) -> None:
    spans: list[Span] = []
    pool = CallExecutor(less(settings, capture), spans.append)
    try:
        async with asyncio.timeout(600):
            await pool.call("speaking", speaking.fit, 3)
    finally:
        pool.close()
    assert [span.input for span in spans] == inputs


async def test_spans_wait_for_a_store_that_is_locked_longer_than_the_outcome_does(
    settings: Settings, jobs: Jobs, speaking: Any, tmp_path: Path
) -> None:
    TraceStore.of(settings).close()
    with opened(settings.trace_store), closing(sqlite3.connect(settings.trace_store, isolation_level=None)) as other:
        other.execute("begin exclusive")
        with under(Carrier(TRACE, CALL)):
            row = await jobs.submit(Submission("train_model", speaking.make, speaking.Request(folder=str(tmp_path))))
        assert (await ended(jobs, row)).state == "done"
        other.execute("rollback")
    reader = TraceReader(settings.trace_store)
    await eventually(lambda: {span.name for span in reader.spans(TRACE) if span.end} >= {"job train_model", "fit"})


async def test_the_span_of_a_cancelled_job_is_closed_though_its_keeper_cannot(
    settings: Settings, jobs: Jobs, speaking: Any, tmp_path: Path
) -> None:
    with under(Carrier(TRACE, CALL)):
        row = await jobs.submit(Submission("train_model", speaking.twice, speaking.Request(folder=str(tmp_path))))
    reader = TraceReader(settings.trace_store)
    await eventually((tmp_path / "first").exists)
    await eventually(lambda: settings.trace_store.exists() and reader.open_spans_of(TRACE))
    os.kill((await jobs.get(row.id)).pid, signal.SIGSTOP)
    assert (await jobs.cancel(row.id)).state == "cancelled"
    assert [(span.name, span.status) for span in reader.spans(TRACE)] == [("job train_model", "cancelled")]
