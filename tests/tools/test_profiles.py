import json
import re

import pytest
from mcp import Client

from mlops_mcp.config.errors import SettingsError
from mlops_mcp.config.load import load
from mlops_mcp.prompts.templates import PROMPTS, render
from mlops_mcp.server.app import create_server
from mlops_mcp.server.published import published
from mlops_mcp.tools import wire
from mlops_mcp.tools.profiles import AGENTS, AgentProfile

TOKENS_AT_MOST = 2700
every_agent = pytest.mark.parametrize("agent", AGENTS, ids=lambda agent: agent.name)


def tokens(tool: str) -> float:
    seen = {key: wire.shipped(tool)[key] for key in ("name", "description", "inputSchema")}
    return len(json.dumps(seen, separators=(",", ":"), ensure_ascii=False)) / 4


def test_there_are_the_eight_agents_of_the_pipeline() -> None:
    assert [agent.name for agent in AGENTS] == [
        "scope_definer", "data_preparer", "model_selector", "model_trainer", "feature_analyzer", "model_deployer",
        "observability_connector", "prediction_synthesizer",
    ]  # fmt: skip


@every_agent
def test_an_agent_is_given_exactly_the_tools_that_its_prompt_names(agent: AgentProfile) -> None:
    spec = next(spec for spec in PROMPTS if spec.name == agent.name)
    text = render(spec, {"goal": "x"})
    every = {tool for tools in wire.index().values() for tool in tools}
    named = set(re.findall(r"`([a-z_]+)`", text)) & every
    assert named == set(agent.tools)
    assert "Hand over to" in text or "Answer with" in text


@every_agent
def test_the_tools_of_an_agent_cost_at_most_2700_tokens(agent: AgentProfile) -> None:
    assert sum(map(tokens, agent.tools)) <= TOKENS_AT_MOST


@every_agent
async def test_serving_an_agent_publishes_its_tools_in_its_order(agent: AgentProfile, environ: dict[str, str]) -> None:
    server = create_server(load(environ, {"server.agent": agent.name}).settings)
    async with server.services.running(), Client(server) as client:
        assert [tool.name for tool in (await client.list_tools()).tools] == list(agent.tools)
        refused = await client.call_tool("no_such_tool", {})
        assert refused.is_error


def test_an_unknown_agent_names_the_nearest(environ: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="Did you mean model_trainer"):
        published(load(environ, {"server.agent": "model_trainr"}).settings)
