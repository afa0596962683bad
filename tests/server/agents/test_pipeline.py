"""The command from end to end: eight agents on real data, and one that is interrupted."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mlops_mcp.config.settings import Settings
from mlops_mcp.examples.handover.messages_api import served
from mlops_mcp.examples.handover.recorded import Turn
from mlops_mcp.tools.observability.client import get_lineage, get_trace
from mlops_mcp.tools.observability.decisions import list_decisions
from mlops_mcp.tools.profiles import AGENTS
from mlops_mcp.tools.registry.evidence import explain_promotion
from mlops_mcp.tools.runtime.work import Work

from ...conftest import UNHURRIED
from .conftest import KEY

pytestmark = pytest.mark.slow


def variables(environ: Mapping[str, str], home: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(home), **environ, **UNHURRIED}


def test_the_eight_agents_hand_over_to_each_other_and_leave_their_reasons(
    environ: dict[str, str], tmp_path: Path, work: Work
) -> None:
    command = [sys.executable, "-m", "mlops_mcp.examples.handover", "--json"]
    # So many jobs are worth the libraries.
    warm = variables(environ, tmp_path) | {"MLOPS_RUNTIME__PRELOAD": "start"}
    done = subprocess.run(command, env=warm, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    reports: list[dict[str, Any]] = found["agents"]
    assert [(each["agent"], each["ending"]) for each in reports] == [(agent.name, "done") for agent in AGENTS]
    assert sum(each["failed_calls"] for each in reports) == 0
    assert {each["trace"] for each in reports} == {found["trace"]}
    assert all(len(each["decisions"]) >= 1 for each in reports)

    tree = get_trace(work, found["trace"], "", "short", 500).tree.splitlines()
    assert tree[0].startswith("pipeline.run")
    assert [line.split()[0] for line in tree if line.startswith("  ") and line[2] != " "] == [
        f"{agent.name}.run" for agent in AGENTS
    ]
    assert any(line.startswith("    anthropic.messages") for line in tree)
    assert any(line.startswith("      job train_model") for line in tree)
    # What was looked up for a prompt hangs below the agent whose prompt it is.
    assert {line.split()[0] for line in tree if line.startswith("    ")} >= {agent.name for agent in AGENTS}

    model = "model:credit/1"
    decided = [each.decided for each in list_decisions(work, model, 50, "").items]
    assert "Keep this model as a candidate for Production." in decided
    assert f"{model} goes to Production: True" in decided
    assert get_lineage(work, model, 100).decisions
    why = explain_promotion(work, model)
    assert (why.stage, why.by, why.judged is not None) == ("Production", "promote_model", True)


async def test_whoever_interrupts_an_agent_is_told_how_to_go_on(environ: dict[str, str], tmp_path: Path) -> None:
    with served({"": [Turn(hang=True)]}, KEY) as api:
        more = {"ANTHROPIC_API_KEY": KEY, "MLOPS_AGENT__BASE_URL": api.url}
        command = [sys.executable, "-m", "mlops_mcp.server", "agent", "--agent", "model_trainer", "--json", "train it"]
        agent = await asyncio.create_subprocess_exec(
            *command, env=variables(environ, tmp_path) | more, cwd=tmp_path, stdout=subprocess.PIPE
        )
        while not api.asked and agent.returncode is None:
            await asyncio.sleep(0.02)
        agent.send_signal(signal.SIGINT)
        said, _ = await agent.communicate()
    assert agent.returncode == 130
    found = json.loads(said)
    assert (found["ending"], found["agents"][0]["agent"]) == ("interrupted", "model_trainer")
    assert " agent --agent model_trainer " in found["go_on"]
    assert KEY not in said.decode()


def test_no_key_reaches_the_server(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlops_mcp.server.agents.command import Request, server_of

    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    monkeypatch.setenv("ANTHROPIC_API_KEY_FILE", "/run/key")
    server = server_of(settings, Request("goal", "model_trainer", roots=("/data",)))
    assert server.env
    assert not [name for name in server.env if "ANTHROPIC" in name]
    assert server.args[-5:] == ["serve", "--agent", "model_trainer", "--root", "/data"]
