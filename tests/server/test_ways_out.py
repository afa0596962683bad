"""What the process itself prints and answers: cleaned of secrets, and each crash once."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.types import PARSE_ERROR
from pydantic import JsonValue

from mlops_mcp.config.settings import Settings
from mlops_mcp.server.app import create_server
from mlops_mcp.tools.runtime.models import JobView
from mlops_mcp.tools.spec import Injected, Toolset, writes

from .conftest import Served
from .test_stdio import REFUSED

CRASH = "def crash(work): raise RuntimeError('the only one')\n"


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mlops_mcp.server", *arguments]
    return subprocess.run(command, env=variables, capture_output=True, text=True, check=False, timeout=60)


def test_the_report_of_the_settings_shows_addresses_without_their_secrets(environ: dict[str, str]) -> None:
    given = {
        "OPIK_URL_OVERRIDE": "https://hunter2@host?token=hunter2",
        "MLFLOW_TRACKING_URI": "http://bot:hunter2@127.0.0.1:5000/x",
        "MLOPS_MLFLOW__DEFAULT_TAGS": "{auth: hunter2}",
        "OPIK_API_KEY": "hunter2",
    }
    done = run("config", **environ, **given)
    assert done.returncode == 0, done.stderr
    assert "hunter2" not in done.stdout + done.stderr
    assert "http://bot:[redacted]@127.0.0.1:5000/x" in done.stdout
    assert all(name in done.stdout for name in given)


def test_a_crash_of_the_command_itself_is_printed_without_secrets(environ: dict[str, str]) -> None:
    code = (
        "from mlops_mcp.server import cli, engine\n"
        "def fail(*_): raise RuntimeError('at https://me:hunter2secret@host')\n"
        "engine.print_status = fail\n"
        "cli.main(['engine', 'status'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1
    assert "RuntimeError: at https://me:[redacted]@host" in done.stderr
    assert "hunter2secret" not in done.stderr


@pytest.mark.slow
async def test_the_access_log_shows_no_secret_of_an_address(served: Served, environ: dict[str, str]) -> None:
    environ["MLOPS_SERVER__LOG_LEVEL"] = "INFO"
    async with served("http") as (process, url):
        status, _ = await asyncio.to_thread(post, f"{url}?api_key=hunter2secret&token=x", b"{}")
        assert status == 400
        process.terminate()
        assert process.stderr
        printed = (await process.stderr.read()).decode()
    assert "api_key=[redacted]" in printed
    assert "hunter2secret" not in printed


@pytest.mark.slow
async def test_over_http_the_lines_that_stdio_refuses_are_answered_too(served: Served) -> None:
    async with served("http") as (_, url):
        for line, code, _ in REFUSED.values():
            status, answer = await asyncio.to_thread(post, url, line)
            if code == PARSE_ERROR:
                assert (status, answer["error"]["code"]) == (400, code), line
            else:  # an odd id makes it a notification there, which is acknowledged
                assert status in (202, 400), line


def post(url: str, body: bytes) -> tuple[int, dict[str, Any]]:
    headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=30) as answer:
            return answer.status, json.loads(answer.read() or b"{}")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read() or b"{}")


@pytest.mark.slow
@pytest.mark.parametrize("place", ["server", "worker"])
async def test_a_crash_is_logged_once_with_its_own_traceback(
    settings: Settings, probes: Callable[[str, str], Any], caplog: pytest.LogCaptureFixture, place: str
) -> None:
    module = probes("crashing", CRASH)

    async def stumble(context: Injected) -> JobView[JsonValue]:
        """Crash."""
        if place == "worker":
            await context.call(module.crash)
        raise RuntimeError("the only one")

    server = create_server(settings, Toolset("crashing", "Crashing.", (writes(stumble, "Stumble"),)))
    async with server.services.running(), Client(server) as client:
        with caplog.at_level(logging.WARNING):
            answer = await client.call_tool("stumble", {})
    assert answer.is_error
    assert "the only one" not in str(answer.content)
    told = [record for record in caplog.records if "the only one" in logging.Formatter().format(record)]
    assert len(told) == 1
    assert "Traceback" in logging.Formatter().format(told[0])


def test_the_home_is_made_nowhere_by_looking(environ: dict[str, str], tmp_path: Path) -> None:
    assert run("config", **environ).returncode == 0
    assert not (tmp_path / "home").exists()
