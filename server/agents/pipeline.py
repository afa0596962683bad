"""The eight agents one after the other: each takes over what those before it have handed over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...tools.profiles import AGENTS, AgentProfile
from .conversation import Workplace, work
from .handover import handed_over
from .outcome import Report

PIPELINE = "pipeline"
Passed = Callable[[Report], None]


@dataclass
class Plan:
    """Who works, in which order; the scope definer may change it."""

    agents: list[AgentProfile] = field(default_factory=lambda: list(AGENTS))
    why: str = ""

    def choose(self, names: Sequence[str], why: str) -> str:
        """Let only these follow, in this order.

        Raises:
            ValueError: an unknown name, or none.
        """
        by_name = {agent.name: agent for agent in AGENTS[1:]}
        if unknown := [name for name in names if name not in by_name]:
            raise ValueError(f"unknown agents {', '.join(unknown)}: pass some of {', '.join(by_name)}")
        if not names:
            raise ValueError(f"nobody is left: pass some of {', '.join(by_name)}")
        self.agents = [AGENTS[0], *(by_name[name] for name in dict.fromkeys(names))]
        self.why = why
        return f"after you: {', '.join(agent.name for agent in self.agents[1:])}"

    def tool(self) -> Any:
        """The plan as a tool of the scope definer."""
        from anthropic import beta_async_tool
        from anthropic.lib.tools import ToolError

        @beta_async_tool
        async def choose_agents(agents: list[str], why: str) -> str:
            """Say which agents follow you, in order, where not all eight are needed.

            Args:
                agents: Their names.
                why: The reason.
            """
            try:
                return self.choose(agents, why)
            except ValueError as error:
                raise ToolError(str(error)) from error

        return choose_agents


@dataclass(frozen=True)
class Passage:
    """What each of some agents has done, and the names of those that have not come to their end: `left`, in order."""

    reports: list[Report]
    left: list[str]


async def run(place: Workplace, agents: Sequence[AgentProfile], goal: str, known: str, passed: Passed) -> Passage:
    """Let agents work in turn until one does not come to its end.

    Args:
        passed: hears of each agent that has ended.
    """
    plan, reports = Plan(list(agents)), list[Report]()
    while len(reports) < len(plan.agents):
        agent = plan.agents[len(reports)]
        planning = [plan.tool()] if agent is AGENTS[0] and len(agents) > 1 else []
        report = await work(place, agent, goal, handed_over(reports, known), planning)
        reports.append(report)
        passed(report)
        if report.ending != "done":
            return Passage(reports, [agent.name for agent in plan.agents[len(reports) - 1 :]])
    return Passage(reports, [])
