"""The server with the fixture tools of the conformance suite, in a process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
Served = Callable[[Path], AbstractContextManager[tuple[subprocess.Popen[str], str]]]


@pytest.fixture(scope="session")
def fixture_server() -> Served:
    """Starts servers by the folder that holds their state; yields the process and its address."""
    return _served


@contextmanager
def _served(folder: Path) -> Generator[tuple[subprocess.Popen[str], str]]:
    (folder / "empty.yaml").touch()
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": f"{folder}-user",
        "PYTHONPATH": os.pathsep.join(paths),
        "MLOPS_HOME": str(folder / "home"),
        "MLOPS_CONFIG": str(folder / "empty.yaml"),
    }
    command = [sys.executable, "-m", "tests.conformance.server"]
    with subprocess.Popen(command, env=environment, cwd=folder, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr
            line = process.stderr.readline()
            found = re.search(r"http://\S+", line)
            assert found, line + process.stderr.read()
            # A server whose log nobody reads stops when the pipe is full.
            threading.Thread(target=process.stderr.read, daemon=True).start()
            yield process, found[0]
        finally:
            process.terminate()
