"""`mlops-mcp agent`: let one agent, some or all in turn, work towards a goal."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import signal
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mcp import Client, MCPError, StdioServerParameters

from ...config.errors import SettingsError
from ...config.load import from_file
from ...config.settings import Settings
from ...tools.errors import ToolFailure, require, unknown
from ...tools.legible import legible
from ...tools.observability.connector import OpikConnector
from ...tools.profiles import AGENTS, AgentProfile
from ...tools.tracing.redaction import Redactor
from .confirmation import asker
from .conversation import Workplace
from .handover import handed_over
from .outcome import Report
from .pipeline import PIPELINE, Passage, run

KEY = "ANTHROPIC_API_KEY"
# What the server is not given: it makes no use of it.
OF_ANTHROPIC = "ANTHROPIC_"
SHOWN = 160
BETWEEN = ","


@dataclass(frozen=True)
class Request:
    """What was asked for on the command line; `agent` is one, several with commas between them, or the pipeline."""

    goal: str
    agent: str = PIPELINE
    known: str = ""
    roots: tuple[str, ...] = ()
    json: bool = False


def command(settings: Settings, request: Request) -> int:
    """Run the agents and print what they did; the exit code is 0 if all came to their end, 130 if interrupted."""
    if not request.goal:
        raise SettingsError("an empty goal: say in plain words what is to be done")
    try:
        agents, key = chosen(request.agent), _key(os.environ)
        require("anthropic")
    except ToolFailure as failure:
        raise SettingsError(str(failure)) from failure
    clean = Redactor.of(settings, {**os.environ, KEY: key})
    try:
        passage = asyncio.run(_run(settings, request, agents, key, Talk(request.json, clean)))
    except MCPError as error:
        raise SettingsError(f"the server does not start ({error}): mlops-mcp doctor says why") from error
    return _told(settings, request, passage, clean)


def chosen(name: str) -> Sequence[AgentProfile]:
    """Raises ToolFailure for an unknown name."""
    if name == PIPELINE:
        return AGENTS
    by_name = {agent.name: agent for agent in AGENTS}
    names = list(dict.fromkeys(name.split(BETWEEN)))
    if wrong := [each for each in names if each not in by_name]:
        raise unknown("agent", wrong[0], (PIPELINE, *by_name))
    return [by_name[each] for each in names]


def _key(environ: Mapping[str, str]) -> str:
    """Raises SettingsError where there is no key, or a file of it cannot be read."""
    key = from_file(environ, KEY)
    if not key:
        raise SettingsError(
            f"{KEY} is not set: the agents are Claude, which asks for a key (or {KEY}_FILE names a file)"
        )
    return key


@dataclass(frozen=True)
class Talk:
    """What is said on the way: to a person on standard error, so that standard output holds the result alone."""

    quiet: bool
    clean: Redactor

    def called(self, tool: str, arguments: Mapping[str, Any]) -> None:
        self._say(f"  {tool}({json.dumps(arguments, ensure_ascii=False, default=str)})")

    def heard(self, agent: str, text: str) -> None:
        self._say(f"{agent}: {' '.join(text.split())}")

    def passed(self, report: Report) -> None:
        used = f"{report.turns} replies, {report.calls} calls, {report.input_tokens + report.output_tokens:,} tokens"
        self._say(f"{report.agent} {report.ending} after {used}, {report.seconds:.1f} s")

    def _say(self, text: str) -> None:
        if not self.quiet:
            shown = legible(self.clean(text))
            print(shown if len(shown) <= SHOWN else f"{shown[: SHOWN - 1]}…", file=sys.stderr, flush=True)


async def _run(settings: Settings, request: Request, agents: Sequence[AgentProfile], key: str, talk: Talk) -> Passage:
    from anthropic import AsyncAnthropic

    limits = settings.agent
    asks = asker(interactive=sys.stdin.isatty() and not request.json)
    async with (
        OpikConnector(settings) as opik,
        Client(server_of(settings, request), elicitation_callback=asks) as server,
        AsyncAnthropic(api_key=key, base_url=limits.base_url or None, max_retries=limits.retries) as plain,
    ):
        offered = (await server.list_tools()).tools
        traced = opik.track_anthropic(plain)
        place = Workplace(traced, server, offered, opik, limits, talk.called, talk.heard)
        with _interruptible():
            if len(agents) == 1:
                return await run(place, agents, request.goal, request.known, talk.passed)
            async with opik.trace_agent(PIPELINE, "run", metadata={"goal": request.goal}) as span:
                passage = await run(place, agents, request.goal, request.known, talk.passed)
                span.set_output({"ended": {report.agent: report.ending for report in passage.reports}})
                return passage


def server_of(settings: Settings, request: Request) -> StdioServerParameters:
    """Our server in a process of its own, with the tools of one agent or all, and without the key."""
    agents = chosen(request.agent)
    only = ["--agent", agents[0].name] if len(agents) == 1 else []
    roots = ["--root", *request.roots] if request.roots else []
    environ = {name: value for name, value in os.environ.items() if not name.startswith(OF_ANTHROPIC)}
    return StdioServerParameters(
        command=sys.executable,
        args=["-m", "mlops_mcp.server", "--home", str(settings.home), "serve", *only, *roots],
        env=environ,
        cwd=Path.cwd(),
    )


@contextmanager
def _interruptible() -> Generator[None]:
    """A termination is an interruption as well: what was reached is told."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    signals = (signal.SIGINT, signal.SIGTERM)
    for each in signals:
        loop.add_signal_handler(each, task.cancel)
    try:
        yield
    finally:
        for each in signals:
            loop.remove_signal_handler(each)


def _told(settings: Settings, request: Request, passage: Passage, clean: Redactor) -> int:
    reports, last = passage.reports, passage.reports[-1]
    going_on = go_on(settings, request, passage) if passage.left else ""
    found = {
        "agent": request.agent,
        "ending": last.ending,
        "trace": last.trace,
        "model": settings.agent.model,
        "agents": [asdict(report) for report in reports],
        "go_on": going_on,
    }
    if request.json:
        print(json.dumps(_cleaned(found, clean), ensure_ascii=False, indent=1))
    else:
        _print(reports, going_on, clean)
    return 130 if last.ending == "interrupted" else 0 if last.ending == "done" else 1


def _cleaned(node: Any, clean: Redactor) -> Any:
    if isinstance(node, dict):
        return {key: _cleaned(item, clean) for key, item in node.items()}
    if isinstance(node, list):
        return [_cleaned(item, clean) for item in node]
    return clean(node) if isinstance(node, str) else node


def _print(reports: Sequence[Report], going_on: str, clean: Redactor) -> None:
    last = reports[-1]
    handles = list(dict.fromkeys(handle for report in reports for handle in report.handles))
    decisions = [decision for report in reports for decision in report.decisions]
    lines = [last.said, ""]
    lines += [f"ended: {last.ending} ({last.error or last.advice})"] if last.ending != "done" else []
    lines += [f"handles: {', '.join(handles)}"] if handles else []
    lines += [f"decisions: {', '.join(decisions)}"] if decisions else []
    lines += [f"trace: {last.trace}"]
    lines += [f"{last.advice} Go on with:\n  {going_on}"] if going_on else []
    print(legible(clean("\n".join(lines))))


def go_on(settings: Settings, request: Request, passage: Passage) -> str:
    """The command that goes on where the last agent was, and with those after it; state, folders and model stay."""
    whole = passage.left == [agent.name for agent in AGENTS]
    left, known = PIPELINE if whole else BETWEEN.join(passage.left), handed_over(passage.reports, request.known)
    roots = [word for root in request.roots for word in ("--root", root)]
    given = ["--agent", left, *roots, "--model", settings.agent.model, "--known", known, request.goal]
    return shlex.join(["mlops-mcp", "--home", str(settings.home), "agent", *given])
