"""Start the recorded model and let `mlops-mcp agent` talk to it, as it would to Claude."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

from ...config.settings import Settings
from .messages_api import served
from .recorded import script_of

DATA = Path(__file__).parent.parent / "credit_risk" / "loan_table.parquet"
GOAL = "Say who will not pay a loan back, and why the model that says so can be trusted."
KEY = "sk-of-nobody"  # the API below runs on this machine


def run(settings: Settings, *options: str) -> int:
    """Run all eight agents; the exit code of the command."""
    turns = Path(str(files(__package__ or "").joinpath("turns.yaml")))
    with served(script_of(turns), KEY) as api:
        environ = {**os.environ, "ANTHROPIC_API_KEY": KEY, "MLOPS_AGENT__BASE_URL": api.url}
        command = [sys.executable, "-m", "mlops_mcp.server", "--home", str(settings.home), "agent"]
        asked = ["--root", str(DATA.parent), "--known", f"file:{DATA}", *options, GOAL]
        return subprocess.run([*command, *asked], env=environ, check=False).returncode
