"""Every tool turns into what the frameworks send to their models, by their own code, in an environment of their own."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ..conftest import ROOT, Needs

HERE = Path(__file__).parent
FRAMEWORKS = (
    "openai-agents",
    "google-genai",
    "autogen-ext",
    "langchain-mcp-adapters",
    "pydantic-ai for OpenAI",
    "pydantic-ai for Google",
    "mcpadapt",
    "botocore",
)


@pytest.fixture(scope="module")
def failed(needs: Needs) -> dict[str, dict[str, str]]:
    """Framework -> {tool: why it cannot be turned}."""
    python = needs("python", "make .clients/conversions/.made", str(ROOT / ".clients/conversions/bin"))
    command = [python, "-m", "frameworks.converters", str(ROOT / "tools/wire")]
    quiet = {**os.environ, "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(command, cwd=HERE, env=quiet, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    assert tuple(found) == FRAMEWORKS
    return found


@pytest.mark.slow
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_every_tool_turns_into_what_the_framework_sends(framework: str, failed: dict[str, dict[str, str]]) -> None:
    assert failed[framework] == {}
