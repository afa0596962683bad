"""Tools of the tracking slice."""

from __future__ import annotations

from typing import Annotated, Literal

from mcp.types import CallToolResult
from pydantic import BeforeValidator, Field, JsonValue, Strict

from ..paging import Cursor, Limit, Page
from ..spec import Injected, Toolset, reads, with_picture, writes
from ..vocabulary import Run as RunHandle
from . import artifacts, client, comparison, measured, overview
from .models import (
    Artifact,
    ArtifactLine,
    Experiment,
    ExperimentLine,
    Logged,
    MetricHistory,
    Run,
    RunComparison,
    RunLine,
)  # fmt: skip

Folder = Annotated[str, Field(description="Inside the run.")]
Tags = Annotated[dict[str, str], Field(description="{name: text}")]


def _exact(value: object) -> object:
    """MLflow keeps metrics as floats."""
    if isinstance(value, int) and abs(value) > 2**53:
        raise ValueError("whole numbers beyond 2**53 would be rounded: log them as a param or a tag")
    return value


# A text or a truth value is no measurement.
Number = Annotated[float, Strict(), BeforeValidator(_exact)]


async def create_experiment(
    context: Injected,
    name: Annotated[str, Field(min_length=1, max_length=400, description="Without the configured prefix.")],
    tags: Tags | None = None,
) -> Experiment:
    """Get or create an MLflow experiment."""
    return await context.call(client.create_experiment, name, tags or {})


async def start_run(
    context: Injected,
    experiment: Annotated[str, Field(description="Created if need be.")] = "",
    name: Annotated[str, Field(max_length=250)] = "",
    tags: Tags | None = None,
) -> Run:
    """Start an MLflow run. Pass its handle as `run` to other tools to log into it; close it with end_run."""
    return await context.call(client.start_run, experiment, name, tags or {})


async def log_run(
    context: Injected,
    run: RunHandle,
    params: Annotated[dict[str, JsonValue] | None, Field(description="{name: value}")] = None,
    metrics: Annotated[dict[str, Number] | None, Field(description="{name: number}")] = None,
    step: Annotated[int, Field(ge=0, lt=2**63)] = 0,
    tags: Tags | None = None,
) -> Logged:
    """Log params, metrics (at a step) and tags to a run that has not ended. A param cannot change its value."""
    return await context.call(client.log_open_run, run, params or {}, metrics or {}, step, tags or {})


async def log_artifact(
    context: Injected, run: RunHandle, path: Annotated[str, Field(description="A file here.")], folder: Folder = ""
) -> Logged:
    """Copy a file into the artifacts of a run that has not ended."""
    return await context.call(client.log_artifact, run, path, folder)


async def end_run(
    context: Injected, run: RunHandle, status: Literal["FINISHED", "FAILED", "KILLED"] = "FINISHED"
) -> Run:
    """Close a run."""
    return await context.call(client.end_run, run, status)


async def get_run(
    context: Injected,
    run: RunHandle,
    names: Annotated[list[str] | None, Field(description="Only these, in full; * for any text.")] = None,
) -> Run:
    """Read a run: params, metrics, tags, duration, artifact URI, models."""
    return await context.call(client.get_run, run, names or [])


async def search_runs(
    context: Injected,
    experiment: Annotated[str, Field(description="Default: all.")] = "",
    where: Annotated[str, Field(description="MLflow filter, e.g. metrics.auc > 0.9")] = "",
    order_by: Annotated[str, Field(description="e.g. metrics.auc desc")] = "",
    limit: Limit = 10,
    cursor: Cursor = "",
) -> Page[RunLine]:
    """Search runs."""
    return await context.call(client.search_runs, experiment, where, order_by, limit, cursor)


async def list_experiments(context: Injected, limit: Limit = 20, cursor: Cursor = "") -> Page[ExperimentLine]:
    """List experiments with their numbers of runs."""
    return await context.call(overview.list_experiments, limit, cursor)


async def compare_runs(context: Injected, runs: Annotated[list[str], Field(description="run:<id>")]) -> RunComparison:
    """Put 2 to 10 runs side by side: params that differ, metrics less those of the first, same data, same versions."""
    return await context.call(comparison.compare_runs, runs)


async def get_metric_history(
    context: Injected,
    run: RunHandle,
    metric: Annotated[str, Field(description="As it was logged.")],
    limit: Annotated[int, Field(ge=2, le=500)] = 30,
    plot: Annotated[bool, Field(description="Add a picture.")] = False,
) -> Annotated[CallToolResult, MetricHistory]:
    """Read a metric over its steps."""
    return with_picture(*await context.call(measured.get_metric_history, run, metric, limit, plot))


async def list_artifacts(
    context: Injected, run: RunHandle, folder: Folder = "", limit: Limit = 20, cursor: Cursor = ""
) -> Page[ArtifactLine]:
    """List a folder of a run's artifacts; its models are folders m-…"""
    return await context.call(artifacts.list_artifacts, run, folder, limit, cursor)


async def read_artifact(
    context: Injected,
    run: RunHandle,
    path: Folder,
    offset: Annotated[int, Field(ge=0, description="Characters to skip.")] = 0,
) -> Annotated[CallToolResult, Artifact]:
    """Read a text, JSON, CSV or image artifact, 4,000 characters at a time."""
    return with_picture(*await context.call(artifacts.read_artifact, run, path, offset))


TOOLSET = Toolset(
    name="tracking",
    description="Experiments and runs in MLflow.",
    tools=(
        writes(create_experiment, "Create experiment", idempotent=True),
        writes(start_run, "Start run"),
        writes(log_run, "Log to run"),
        writes(log_artifact, "Log artifact", idempotent=True),
        writes(end_run, "End run", idempotent=True),
        reads(get_run, "Get run"),
        reads(search_runs, "Search runs"),
        reads(list_experiments, "List experiments"),
        reads(compare_runs, "Compare runs"),
        reads(get_metric_history, "Get metric history"),
        reads(list_artifacts, "List artifacts"),
        reads(read_artifact, "Read artifact"),
    ),
)
