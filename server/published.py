"""Which tools a server publishes: those that were asked for, else those whose libraries are installed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from ..config.errors import SettingsError
from ..config.settings import Settings
from ..prompts.templates import PROMPTS, PromptSpec
from ..tools import wire
from ..tools.errors import NotInstalled, install, missing, unknown
from ..tools.profiles import AGENTS
from ..tools.slices import declared, extra_of, extras_below


@dataclass(frozen=True)
class Published:
    """Tool -> slice, of those that are listed, and of those that are not since a library of theirs is missing.

    `lacking` are the slices of the latter, each with its library; `prompts` those that name nothing but tools that
    were asked for.
    """

    tools: Mapping[str, str]
    withheld: Mapping[str, str] = field(default_factory=dict)
    lacking: Mapping[str, str] = field(default_factory=dict)
    prompts: tuple[PromptSpec, ...] = ()

    @property
    def remedy(self) -> str:
        """The command that adds what is withheld; empty when that is nothing."""
        return remedy(self.lacking.values())

    def told(self) -> str:
        """What an agent is told of the tools that it does not see."""
        if not self.lacking:
            return ""
        return f" Not listed, since libraries are missing: {', '.join(self.lacking)}. {self.remedy} adds them."

    def refusal(self, tool: str) -> NotInstalled:
        """Why a tool that is withheld cannot be called, and what adds it."""
        library = self.lacking[self.withheld[tool]]
        return NotInstalled(
            f"{tool} is not published: {library} is not installed",
            f"Install it with: {remedy([library])}, and start the server again.",
        )


def published(settings: Settings) -> Published:
    """What the settings ask for; a read-only server publishes what changes nothing.

    Whoever names toolsets or an agent, or publishes all, has asked for their tools, whatever is installed. No library
    is imported to find that out.

    Raises:
        SettingsError: an unknown toolset or agent.
    """
    tools = _chosen(settings)
    prompts = tuple(spec for spec in PROMPTS if tools.keys() >= set(spec.tools))
    if settings.server.read_only:
        tools = {tool: name for tool, name in tools.items() if wire.shipped(tool)["annotations"]["readOnlyHint"]}
    if asks(settings):
        return Published(tools, prompts=prompts)
    lacking = dict(_lacking(tools.values()))
    withheld = {tool: name for tool, name in tools.items() if name in lacking}
    return Published({tool: name for tool, name in tools.items() if tool not in withheld}, withheld, lacking, prompts)


def asks(settings: Settings) -> bool:
    """Whether the tools were asked for, so that they are published even if their libraries are missing."""
    return bool(settings.server.toolsets or settings.server.agent or settings.server.publish == "all")


def remedy(libraries: Iterable[str]) -> str:
    """One command for several libraries: what another extra brings along is not named."""
    extras = dict.fromkeys(map(extra_of, libraries))
    below = {lower for extra in extras for lower in extras_below(extra)}
    return install(extra for extra in extras if extra not in below) if extras else ""


def _lacking(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    for name in dict.fromkeys(names):
        if wanting := missing(declared(name).needs):
            yield name, wanting[0]


def _chosen(settings: Settings) -> dict[str, str]:
    """Tool -> slice, for the agent or the enabled toolsets."""
    slices = wire.index()
    for name in settings.server.toolsets:
        _require("toolset", name, slices, "server.toolsets")
    chosen = settings.server.toolsets or tuple(slices)
    tools = {tool: name for name in slices if name in chosen for tool in slices[name]}
    if not settings.server.agent:
        return tools
    profiles = {profile.name: profile.tools for profile in AGENTS}
    _require("agent", settings.server.agent, profiles, "server.agent")
    return {tool: tools[tool] for tool in profiles[settings.server.agent] if tool in tools}


def _require(kind: str, name: str, known: Iterable[str], setting: str) -> None:
    if name not in known:
        raise SettingsError(str(unknown(kind, name, known, f"See {setting}.", limit=12)))
