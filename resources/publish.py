"""The resources, and the completion of what stands in their addresses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast

import anyio.to_thread
from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError
from mcp.types import Completion, CompletionArgument, CompletionContext, PromptReference, ResourceTemplateReference

from ..config.settings import Settings
from ..tools.errors import ToolFailure, Unavailable
from ..tools.runtime.calls.executor import CallCrashed, CallExecutor
from ..tools.tracing.span import current

MARKDOWN = "text/markdown"
# Whose workers read the cards.
TOOLSET = "tracking"
Reference = ResourceTemplateReference | PromptReference


def add_resources(server: MCPServer[Any], calls: CallExecutor, settings: Settings) -> None:
    """Publish runs and registry entries; each is read in a worker of the tracking slice.

    The cards, with the models of the slices they stand on, are imported when one is read.
    """

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

    about: tuple[tuple[str, Callable[..., Awaitable[str]], str, str], ...] = (
        ("mlflow://experiments", experiments, "Experiments", "All MLflow experiments."),
        ("mlflow://runs/{run_id}", run, "Run", "One MLflow run: metrics, params, models."),
        ("mlflow://models/{name}", model, "Registered model", "A registered model and its versions."),
        ("mlflow://models/{name}/versions/{version}", version, "Model version", "One version and what it takes."),
    )
    for uri, function, title, description in about:
        server.resource(uri, title=title, description=description, mime_type=MARKDOWN)(function)
    _add_completion(server, calls)


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
        values = await _candidates(calls, argument, (context.arguments if context else None) or {})
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


async def _read(card: Awaitable[str]) -> str:
    try:
        return await card
    except Unavailable as failure:
        raise ResourceError(str(failure)) from failure
    except ToolFailure as failure:
        raise ResourceNotFoundError(str(failure)) from failure
    except CallCrashed as crashed:  # it has been logged, and would be again
        raise ResourceError(f"the resource cannot be read: {crashed.crash.hint(current().trace_id)}.") from crashed
