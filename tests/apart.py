"""Scenarios of a test module that need a process without threads, which the one of pytest is not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent


def apart(module: str, scenario: str) -> Any:
    """What a function of a module returns in a process of its own; the module ends in `answer(globals())`."""
    done = subprocess.run(
        [sys.executable, "-m", module, scenario], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert not done.returncode, done.stderr
    return json.loads(done.stdout)


def answer(functions: dict[str, Any]) -> None:
    """Run the function that the command line names."""
    print(json.dumps(functions[sys.argv[1]]()))
