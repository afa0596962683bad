"""The composition root: what the server is made of, in order."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import version

from ..config.errors import SettingsError
from ..config.settings import Settings
from ..resources.publish import add_resources
from ..tools import wire
from ..tools.errors import unknown
from ..tools.profiles import AGENTS
from ..tools.spec import Toolset
from .host import Host
from .middleware import TraceRequests
from .services import Services
from .subscriptions import Subscriptions
from .task_extension import Tasks

INSTRUCTIONS = (
    "Machine learning on real tools: data, validation, features, tuning, training, explanation, registry, serving. "
    "State travels in handles such as dataset:loans@3f2a9c81d0be, run:…, models:/…, endpoint:…: pass them on. "
    "Where a dataset goes, a file path goes too. Long work returns a job with the next call to make: "
    "wait_s is how long to wait for its result, budget_s and budget_mb end it early (0: never). "
    "Calls with the same idempotency_key are made once; detail='full' shows all digits. "
    "Errors name the valid choices."
)


def create_server(settings: Settings, *more: Toolset) -> Host:
    """Build a server; `server.services.running()` must be entered while it serves.

    Args:
        more: toolsets to serve beside those of this package.
    """
    published = published_tools(settings)
    services = Services(settings, dict.fromkeys(published.values()))

    host = Host(
        services,
        published,
        more,
        name="mlops-mcp",
        title="MLOps",
        instructions=INSTRUCTIONS,
        version=version("mlops-mcp"),
        subscriptions=services.bus,
        middleware=[
            services.logs,
            TraceRequests(services.tracer, lambda tool: settings.tracing.capture_for(published.get(tool, ""))),
        ],
        # With tasks/cancel a read-only server would end what others have started.
        extensions=[] if settings.server.read_only else [Tasks(services.jobs)],
    )
    add_resources(host, services.calls, settings)
    services.logs.serve(host.protocol)
    Subscriptions(host, host.protocol, services.bus)
    return host


def published_tools(settings: Settings) -> dict[str, str]:
    """Tool -> slice, for the agent or the enabled toolsets; a read-only server publishes what changes nothing.

    Raises:
        SettingsError: an unknown toolset or agent.
    """
    slices = wire.index()
    for name in settings.server.toolsets:
        _require("toolset", name, slices)
    chosen = settings.server.toolsets or tuple(slices)
    tools = {tool: name for name in slices if name in chosen for tool in slices[name]}
    if settings.server.agent:
        profiles = {profile.name: profile.tools for profile in AGENTS}
        _require("agent", settings.server.agent, profiles)
        tools = {tool: tools[tool] for tool in profiles[settings.server.agent] if tool in tools}
    if not settings.server.read_only:
        return tools
    return {tool: name for tool, name in tools.items() if wire.shipped(tool)["annotations"]["readOnlyHint"]}


def _require(kind: str, name: str, known: Iterable[str]) -> None:
    if name not in known:
        raise SettingsError(str(unknown(kind, name, known, f"See server.{kind}.", limit=12)))
