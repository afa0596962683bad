"""The resources, and the completion of what stands in their addresses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Container
from typing import Any, TypeVar, cast

import anyio.to_thread
from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError
from mcp.types import Completion, CompletionArgument, CompletionContext, PromptReference, ResourceTemplateReference

from ..config.settings import Settings
from ..tools.errors import ToolFailure, Unavailable
from ..tools.legible import legible
from ..tools.runtime.calls.executor import CallCrashed, CallExecutor
from ..tools.tracing.span import current

MARKDOWN, PNG = "text/markdown", "image/png"
# Whose workers read the cards.
TOOLSET = "tracking"
Reference = ResourceTemplateReference | PromptReference
# Its address, its slice, what reads it, its title and its description.
Published = tuple[str, str, Callable[..., Awaitable[str | bytes]], str, str]
T = TypeVar("T", str, bytes)


def add_resources(
    server: MCPServer[Any], calls: CallExecutor, settings: Settings, lacking: Container[str] = ()
) -> None:
    """Publish runs and registry entries as cards, and pictures in full; each is read in a worker of its slice.

    What reads them, with the models of the slices they stand on, is imported when one is read.

    Args:
        lacking: the slices whose libraries are missing; what stands on them is not published.
    """
    for media_type, published in ((MARKDOWN, _cards(calls, settings)), (PNG, _pictures(calls))):
        for uri, toolset, function, title, description in published:
            if toolset not in lacking:
                server.resource(uri, title=title, description=description, mime_type=media_type)(function)
    if TOOLSET not in lacking:
        _add_completion(server, calls)


def _cards(calls: CallExecutor, settings: Settings) -> tuple[Published, ...]:
    async def experiments() -> str:
        return await _read(_experiments(calls, settings))

    async def run(run_id: str) -> str:
        from .runs import run_card

        return await _read(calls.call(TOOLSET, run_card, run_id))

    async def model(name: str) -> str:
        from .registry import model_card

        return await _read(calls.call(TOOLSET, model_card, name))

    async def version(name: str, version: str) -> str:
        from .registry import version_card

        return await _read(calls.call(TOOLSET, version_card, name, version))

    versions = "mlflow://models/{name}/versions/{version}"
    return (
        ("mlflow://experiments", TOOLSET, experiments, "Experiments", "All MLflow experiments."),
        ("mlflow://runs/{run_id}", TOOLSET, run, "Run", "One MLflow run: metrics, params, models."),
        ("mlflow://models/{name}", TOOLSET, model, "Registered model", "A registered model and its versions."),
        (versions, TOOLSET, version, "Model version", "One version and what it takes."),
    )


def _pictures(calls: CallExecutor) -> tuple[Published, ...]:
    async def drawing(explanation: str, kind: str, limit: str) -> bytes:
        from ..tools.explain.kept import explanation_picture

        return await _read(calls.call("explain", explanation_picture, explanation, kind, _number(limit)))

    async def metric(run_id: str, metric: str) -> bytes:
        from ..tools.tracking.measured import metric_picture

        return await _read(calls.call(TOOLSET, metric_picture, run_id, metric))

    async def artifact(run_id: str, path: str) -> bytes:
        from ..tools.tracking.artifacts import artifact_picture

        return await _read(calls.call(TOOLSET, artifact_picture, run_id, path))

    uri = "picture://explanations/{explanation}/{kind}/{limit}"
    image = "picture://runs/{run_id}/artifacts/{path}"
    return (
        (uri, "explain", drawing, "Explanation", "What plot_explanation draws, in full."),
        ("picture://runs/{run_id}/metrics/{metric}", TOOLSET, metric, "Metric", "A metric over its steps, drawn."),
        (image, TOOLSET, artifact, "Image", "An image among the artifacts of a run, in full."),
    )


async def _experiments(calls: CallExecutor, settings: Settings) -> str:
    """The first thing a client reads: it does not wait until a worker has imported MLflow, if it need not."""
    from ..tools.tracking import embedded
    from . import runs

    known = await anyio.to_thread.run_sync(embedded.experiment_ids, settings)
    return runs.experiments_card(await calls.call(TOOLSET, runs.experiments) if known is None else known)


def _add_completion(server: MCPServer[Any], calls: CallExecutor) -> None:
    async def complete(
        _ref: Reference, argument: CompletionArgument, context: CompletionContext | None
    ) -> Completion | None:
        found = await _candidates(calls, argument, (context.arguments if context else None) or {})
        values = [value for value in found if legible(value) == value]  # another text would name nothing
        return Completion(values=values[:100], total=len(values), has_more=len(values) > 100)

    cast(Any, server).completion()(complete)


async def _candidates(calls: CallExecutor, argument: CompletionArgument, given: dict[str, str]) -> list[str]:
    from . import registry, runs

    try:
        if argument.name == "run_id":
            return await calls.call(TOOLSET, runs.recent_runs, argument.value)
        if argument.name == "name":
            return await calls.call(TOOLSET, registry.model_names, argument.value)
        if argument.name == "version":
            return await calls.call(TOOLSET, registry.version_numbers, given.get("name", ""), argument.value)
    except ToolFailure:
        # A suggestion is a courtesy: with a dead backend there is none.
        return []
    return []


def _number(text: str) -> int:
    if not text.isdecimal():
        raise ResourceNotFoundError(f"{text[:40]!r} is no number of columns")
    return int(text[:6])


async def _read(content: Awaitable[T]) -> T:
    try:
        found = await content
        return legible(found) if isinstance(found, str) else found
    except Unavailable as failure:
        raise ResourceError(legible(str(failure))) from failure
    except ToolFailure as failure:
        raise ResourceNotFoundError(legible(str(failure))) from failure
    except CallCrashed as crashed:  # it has been logged, and would be again
        raise ResourceError(f"the resource cannot be read: {crashed.crash.hint(current().trace_id)}.") from crashed
