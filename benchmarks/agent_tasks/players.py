"""Who plays: the reference solutions, a Claude model over the Messages API, or any command that speaks MCP."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .agent import Agent, agent_in, environment, text_of
from .play import Place, Said

ROOT = Path(__file__).parents[2]


async def reference(place: Place) -> Said:
    """The scripted solution of a step."""
    async with agent_in(place.world.folder, place.task.settings, *place.arguments) as agent:
        return await solved(agent, place)


async def solved(agent: Agent, place: Place) -> Said:
    answer = json.dumps(await place.step.solve(agent, place.world))
    return Said(answer, agent.calls, agent.written, agent.read)


@dataclass(frozen=True)
class Command:
    """A command of a person's own host: `{goal}` and `{config}` (a file, `mcpServers`) are filled in.

    Its answer is what it prints. What it calls is counted by `counted`, which stands between it and the server.
    """

    words: Sequence[str]

    async def __call__(self, place: Place) -> Said:
        with tempfile.TemporaryDirectory(prefix="agent-host-") as folder:
            config, log = Path(folder, "mcp.json"), Path(folder, "calls.jsonl")
            config.write_text(json.dumps({"mcpServers": {"mlops": server(place, log)}}, indent=2), encoding="utf-8")
            answer = await self._run(place, config)
            return counted(answer, log)

    async def _run(self, place: Place, config: Path) -> str:
        words = [word.replace("{goal}", place.goal).replace("{config}", str(config)) for word in self.words]
        process = await asyncio.create_subprocess_exec(
            *words, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, cwd=place.world.folder
        )
        out, _ = await process.communicate()
        return out.decode(errors="replace")


def server(place: Place, log: Path) -> dict[str, Any]:
    """What goes into a host's file."""
    variables = environment(place.world.folder, place.task.settings)
    command = [sys.executable, "-m", "mlops_mcp.server", "serve", *place.arguments]
    return {
        "command": sys.executable,
        "args": ["-m", "benchmarks.agent_tasks.counted", str(log), *command],
        "env": {"PYTHONPATH": str(ROOT), "PATH": os.environ.get("PATH", ""), **variables},
    }


def counted(answer: str, log: Path) -> Said:
    lines = log.read_text(encoding="utf-8").splitlines() if log.is_file() else []
    rows = [json.loads(line) for line in lines]
    return Said(answer, len(rows), sum(row["written"] for row in rows), sum(row["read"] for row in rows))


@dataclass(frozen=True)
class Claude:
    """A model behind the Messages API, with the server's tools and the SDK's loop; keys come as the SDK takes them."""

    model: str
    base_url: str | None = None
    turns: int = 30
    max_tokens: int = 4096

    async def __call__(self, place: Place) -> Said:
        from anthropic import AsyncAnthropic
        from anthropic.lib.tools import beta_async_tool

        async with agent_in(place.world.folder, place.task.settings, *place.arguments) as agent:
            tools = [
                beta_async_tool(
                    name=tool.name, description=tool.description or "", input_schema=dict(tool.input_schema)
                )(caller(agent, tool.name))
                for tool in (await agent.client.list_tools()).tools
            ]
            runner = AsyncAnthropic(base_url=self.base_url).beta.messages.tool_runner(
                model=self.model,
                max_tokens=self.max_tokens,
                max_iterations=self.turns,
                tools=tools,
                messages=[{"role": "user", "content": place.goal}],
            )
            last = await runner.until_done()
            answer = "".join(block.text for block in last.content if block.type == "text")
            return Said(answer, agent.calls, agent.written, agent.read)


def caller(agent: Agent, tool: str) -> Any:
    async def call(**arguments: Any) -> str:
        return text_of(await agent.counted(tool, arguments))

    return call


def command(text: str) -> Command:
    return Command(shlex.split(text))
