"""An agent at a recorded model, before a real server in this process."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from anthropic import AsyncAnthropic
from mcp import Client

from mlops_mcp.config.settings import Settings
from mlops_mcp.examples.handover.messages_api import MessagesApi, served
from mlops_mcp.examples.handover.recorded import Script, Turn
from mlops_mcp.server.agents.conversation import Workplace, work
from mlops_mcp.server.agents.outcome import Report
from mlops_mcp.tools.observability.connector import OpikConnector
from mlops_mcp.tools.profiles import AGENTS

from ...conftest import connected

KEY = "sk-of-nobody"
SCOPE_DEFINER = AGENTS[0]


@dataclass
class Desk:
    """Where agents work: the API they ask, and what was said and called."""

    settings: Settings
    client: Client
    api: MessagesApi
    place: Workplace
    called: list[str] = field(default_factory=list[str])

    async def run(self, goal: str = "a goal", known: str = "") -> Report:
        return await work(self.place, SCOPE_DEFINER, goal, known)

    def told(self, number: int = -1) -> list[dict[str, Any]]:
        """The results of tools in a request."""
        content = self.api.asked[number]["messages"][-1]["content"]
        return [block for block in content if block["type"] == "tool_result"]


Opened = Callable[..., Any]


@asynccontextmanager
async def desk_of(settings: Settings, script: Script, client: Client, url: str = "") -> AsyncGenerator[Desk]:
    called: list[str] = []
    with served(script, KEY) as api:
        async with (
            OpikConnector(settings) as opik,
            AsyncAnthropic(api_key=KEY, base_url=url or api.url, max_retries=settings.agent.retries) as plain,
        ):
            traced = opik.track_anthropic(plain)
            offered = (await client.list_tools()).tools
            place = Workplace(
                traced, client, offered, opik, settings.agent, lambda tool, _: called.append(tool), lambda *_: None
            )
            yield Desk(settings, client, api, place, called)


@pytest.fixture
def play(settings: Settings) -> Callable[..., Coroutine[Any, Any, tuple[Report, Desk]]]:
    """Lets the scope definer work through some turns; settings of `agent` may differ."""

    async def played(turns: Sequence[Turn], url: str = "", **agent: Any) -> tuple[Report, Desk]:
        own = settings.model_copy(update={"agent": settings.agent.model_copy(update={"retries": 2} | agent)})
        async with connected(own) as client, desk_of(own, {"": turns}, client, url) as desk:
            return await desk.run(), desk

    return played
