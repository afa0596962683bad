"""The resources, and what may stand in their addresses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Container, Mapping
from functools import wraps
from types import MappingProxyType
from typing import Any, Protocol, TypeVar

import anyio.to_thread
from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError
from mcp.types import CompletionArgument, PromptReference, ResourceTemplateReference

from ..config.settings import Settings
from ..tools import addresses
from ..tools.errors import ToolFailure, Unavailable
from ..tools.legible import legible
from ..tools.runtime.calls.executor import CallCrashed, CallExecutor
from ..tools.tracing.span import current

MARKDOWN, PNG = "text/markdown", "image/png"
# Whose workers read the cards.
TOOLSET, QUALITY = "tracking", "quality"
MODELS = ("list_models", "get_model", "get_latest_version")
# The tools that name what stands in an address.
LISTING: Mapping[str, Collection[str]] = MappingProxyType(
    {
        "run_id": ("search_runs",),
        "name": ("list_models",),
        "version": ("get_model",),
        "suite": ("list_suites",),
        "validation": ("get_validation",),
    }
)
Reference = ResourceTemplateReference | PromptReference
# The tools that show the same, its address, what reads it, its title and its description.
Resource = tuple[tuple[str, ...], str, Callable[..., Awaitable[str | bytes]], str, str]
T = TypeVar("T", str, bytes)


class Rules(Protocol):
    """Who may see what a tool shows: what holds for the tools holds for the cards."""

    def require_open(self, tools: Collection[str], /) -> None:
        """Raises ToolFailure where one of the tools is not open to whoever acts."""
        ...


def add_resources(
    server: MCPServer[Any], calls: CallExecutor, settings: Settings, tools: Container[str], rules: Rules
) -> Mapping[str, Collection[str]]:
    """Publish cards of runs, registry entries, suites and validations, and pictures in full.

    Each is read in a worker of its slice. What reads them, with the models of the slices they stand on, is imported
    when one is read.

    Args:
        tools: those that are published. What none of them shows is no resource either; all that do change nothing,
            so that every caller may read what there is, as far as the rules let it.

    Returns:
        Address -> the tools that show the same.
    """
    added: dict[str, Collection[str]] = {}
    cards = (*_cards(calls, settings), *_quality_cards(calls))
    for media_type, published in ((MARKDOWN, cards), (PNG, _pictures(calls))):
        for showing, uri, function, title, description in published:
            if any(tool in tools for tool in showing):
                shown = _guarded(rules, showing, function)
                server.resource(uri, title=title, description=description, mime_type=media_type)(shown)
                added[uri] = showing
    return added


def _guarded(
    rules: Rules, showing: Collection[str], function: Callable[..., Awaitable[str | bytes]]
) -> Callable[..., Awaitable[str | bytes]]:
    @wraps(function)
    async def read(**given: str) -> str | bytes:
        try:
            rules.require_open(showing)
        except ToolFailure as failure:
            raise ResourceError(legible(str(failure))) from failure
        return await function(**given)

    return read


def _cards(calls: CallExecutor, settings: Settings) -> tuple[Resource, ...]:
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

    return (
        (("list_experiments",), addresses.EXPERIMENTS, experiments, "Experiments", "All MLflow experiments."),
        (("get_run",), addresses.RUN, run, "Run", "One MLflow run: metrics, params, models."),
        (MODELS, addresses.MODEL, model, "Registered model", "A registered model and its versions."),
        (MODELS, addresses.VERSION, version, "Model version", "One version and what it takes."),
    )


def _quality_cards(calls: CallExecutor) -> tuple[Resource, ...]:
    async def suite(suite: str) -> str:
        from .quality import suite_card

        return await _read(calls.call(QUALITY, suite_card, suite))

    async def validation(validation: str) -> str:
        from .quality import validation_card

        return await _read(calls.call(QUALITY, validation_card, validation))

    return (
        (("get_suite",), addresses.SUITE, suite, "Suite", "The rules of a suite."),
        (("get_validation",), addresses.VALIDATION, validation, "Validation", "What each rule of a suite came to."),
    )


def _pictures(calls: CallExecutor) -> tuple[Resource, ...]:
    async def drawing(explanation: str, kind: str, limit: str) -> bytes:
        from ..tools.explain.kept import explanation_picture

        return await _read(calls.call("explain", explanation_picture, explanation, kind, _number(limit)))

    async def metric(run_id: str, metric: str) -> bytes:
        from ..tools.tracking.measured import metric_picture

        return await _read(calls.call(TOOLSET, metric_picture, run_id, metric))

    async def artifact(run_id: str, path: str) -> bytes:
        from ..tools.tracking.artifacts import artifact_picture

        return await _read(calls.call(TOOLSET, artifact_picture, run_id, path))

    what, image = "What plot_explanation draws, in full.", "An image among the artifacts of a run, in full."
    measured = "A metric over its steps, drawn."
    return (
        (("plot_explanation",), addresses.EXPLANATION_PICTURE, drawing, "Explanation", what),
        (("get_metric_history",), addresses.METRIC_PICTURE, metric, "Metric", measured),
        (("read_artifact",), addresses.ARTIFACT_PICTURE, artifact, "Image", image),
    )


async def _experiments(calls: CallExecutor, settings: Settings) -> str:
    """The first thing a client reads: it does not wait until a worker has imported MLflow, if it need not."""
    from ..tools.tracking import embedded
    from . import runs

    known = await anyio.to_thread.run_sync(embedded.experiment_ids, settings)
    return runs.experiments_card(await calls.call(TOOLSET, runs.experiments) if known is None else known)


async def address_candidates(
    calls: CallExecutor, rules: Rules, argument: CompletionArgument, given: Mapping[str, str]
) -> list[str]:
    """What may stand in an address, beginning with what was typed; of what may not be seen there is none."""
    try:
        rules.require_open(LISTING.get(argument.name, ()))
        return await _found(calls, argument, given)
    except ToolFailure:
        # A suggestion is a courtesy: with a dead backend there is none.
        return []


async def _found(calls: CallExecutor, argument: CompletionArgument, given: Mapping[str, str]) -> list[str]:
    from . import quality, registry, runs

    match argument.name:
        case "run_id":
            return await calls.call(TOOLSET, runs.recent_runs, argument.value)
        case "name":
            return await calls.call(TOOLSET, registry.model_names, argument.value)
        case "version":
            return await calls.call(TOOLSET, registry.version_numbers, given.get("name", ""), argument.value)
        case "suite":
            return await calls.call(QUALITY, quality.suite_names, argument.value)
        case "validation":
            return await calls.call(QUALITY, quality.recent_validations, argument.value)
        case _:
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
