"""What the tests of jobs share: hard jobs, and where they are kept and run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from mlops_mcp.config.load import load
from mlops_mcp.config.settings import Settings
from mlops_mcp.tools.runtime import proctree
from mlops_mcp.tools.runtime.jobs.launch import mark_of, table_of
from mlops_mcp.tools.runtime.jobs.queue import Jobs
from mlops_mcp.tools.runtime.jobs.table import JobRow
from mlops_mcp.tools.runtime.models import ENDED
from mlops_mcp.tools.runtime.template.handle import Template

from ...conftest import warmed


@pytest.fixture
def hard(hard_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module of hard jobs, which job processes find too."""
    monkeypatch.syspath_prepend(hard_folder)
    monkeypatch.setenv("PYTHONPATH", str(hard_folder))
    return import_module("hard.tools.outcomes.client")


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, settings: Settings) -> Settings:
    """The settings with each kind of job table, empty."""
    if request.param == "sqlite":
        return settings
    address = request.getfixturevalue("postgres")
    _empty(address)
    return with_runtime(settings, job_store=SecretStr(address))


def _empty(address: str) -> None:
    import psycopg

    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("drop schema if exists mlops_mcp cascade")


@pytest.fixture(scope="session")
def template() -> Template:
    """The template of this process, with everything loaded; jobs of one slot are forked from it."""
    settings = load({}, {"runtime.job_slots": 1}).settings
    template = warmed(settings)
    assert template.threads == settings.runtime.job_threads, "what shall start warm would start cold"
    return template


@pytest.fixture(params=["cold", "warm", "dask"])
def engine(request: pytest.FixtureRequest, settings: Settings) -> Settings:
    """The settings of each engine, and of jobs that start cold.

    How a job ends does not hang on where it is kept, so the cold ones are kept in PostgreSQL; in `test_jobs.py` they
    are kept in a file.
    """
    if request.param == "cold":
        return with_runtime(settings, preload="never", job_store=SecretStr(request.getfixturevalue("postgres")))
    if request.param == "warm":
        request.getfixturevalue("template")
        return settings
    return with_runtime(settings, engine="dask", scheduler=request.getfixturevalue("scheduler"))


@pytest.fixture
async def jobs(engine: Settings) -> AsyncGenerator[Jobs]:
    """The jobs of a server that looks after them."""
    jobs = Jobs(engine)
    looking = asyncio.create_task(_look_after(jobs))
    yield jobs
    looking.cancel()
    for row in table_of(engine).running():  # of a test that failed half-way
        proctree.kill(mark_of(row.id, row.attempt))


def with_runtime(settings: Settings, **changes: object) -> Settings:
    return settings.model_copy(update={"runtime": settings.runtime.model_copy(update=changes)})


async def _look_after(jobs: Jobs) -> None:
    from mlops_mcp.server.services import RECONCILE_EVERY_S

    while True:
        await jobs.reconcile()
        await asyncio.sleep(RECONCILE_EVERY_S)


async def ended(jobs: Jobs, row: JobRow, within_s: float = 120.0) -> JobRow:
    rows = [row async for row in jobs.watch(row.id, within_s)]
    assert rows[-1].state in ENDED, f"still {rows[-1].state} after {within_s} s: {jobs.log_tail(row.id)}"
    return rows[-1]


def logged(folder: Path) -> list[str]:
    """The lines that jobs wrote, without their times."""
    file = folder / "log"
    return [line.rpartition(" ")[0] for line in file.read_text().splitlines()] if file.exists() else []
