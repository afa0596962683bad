"""Start the process of a claimed job, detached from whoever starts it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from ...config.settings import Settings
from .limits import quiet_environment, thread_environment
from .table import JobTable, Row
from .trees import MARK

SETTINGS_VARIABLE = "MLOPS_JOB_SETTINGS"
SECRETS = {"opik": {"api_key"}}


def launch_next(settings: Settings, table: JobTable) -> dict[int, Row]:
    """Claim and start queued jobs, oldest first, while slots are free; those started, by process id."""
    started: dict[int, Row] = {}
    while row := table.claim(settings.runtime.slots):
        started[_launch(settings, row)] = row
    return started


def lock_path(settings: Settings, identity: str) -> Path:
    return settings.home / "jobs" / f"{identity}.lock"


def log_path(settings: Settings, identity: str) -> Path:
    return settings.home / "jobs" / f"{identity}.log"


def table_of(settings: Settings) -> JobTable:
    return JobTable(settings.home / "jobs.db")


def mark_of(identity: str, attempt: int) -> str:
    return f"{identity}.{attempt}"


def stored(settings: Settings) -> str:
    """The settings as they are kept with a job: all but the secrets."""
    return json.dumps(settings.model_dump(mode="json", exclude=SECRETS))


def _launch(settings: Settings, row: Row) -> int:
    log = log_path(settings, row.id)
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = {
        **os.environ,
        **quiet_environment(),
        **thread_environment(settings.runtime.job_threads),
        "PYTHONUNBUFFERED": "1",
        MARK: mark_of(row.id, row.attempt),
        SETTINGS_VARIABLE: _revealed(settings, row),
    }
    # Not subprocess: its object would have to be kept and waited for, and this process may end before the job does.
    return os.posix_spawn(
        sys.executable,
        [sys.executable, "-P", "-m", "mlops_mcp.tools.runtime.process", row.id, str(row.attempt)],
        environment,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )


def _revealed(settings: Settings, row: Row) -> str:
    """The submitter's settings with the secrets of this process: an environment is readable by its owner only."""
    tree = json.loads(row.settings)
    tree["opik"]["api_key"] = settings.opik.api_key.get_secret_value()
    return json.dumps(tree)
