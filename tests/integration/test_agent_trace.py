"""An agent, its model, its tools, their jobs and the steps of those are one tree."""

from __future__ import annotations

import pytest

from mlops_mcp.config.settings import Settings
from mlops_mcp.examples.agent_trace import run

from ..conftest import UNHURRIED


@pytest.mark.slow
async def test_the_trace_of_an_agent_reaches_from_its_own_span_to_the_trials_of_a_job(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in UNHURRIED.items():
        monkeypatch.setenv(name, value)
    tree = await run(settings)
    names = [((len(line) - len(line.lstrip())) // 2, line.strip().split("  ")[0]) for line in tree.splitlines()]
    assert names[:5] == [
        (0, "model_trainer.tune"),
        (1, "llm_call"),
        (1, "generate_dataset"),
        (1, "tune_model"),
        (2, "job tune_model"),
    ]
    assert (3, "trial 0") in names
    assert "1245 tokens" in tree
