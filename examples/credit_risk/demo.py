"""`mlops-mcp demo`: run the scripted agent against a server of its own and show what happens."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import anyio
from mcp import Client

from ...config.settings import Settings
from .agent import STEPS, Findings
from .report import Board, summary
from .session import Session, ToolRefused, server_parameters


def run(settings: Settings, trials: int, keep: bool) -> int:
    """Run every step; returns the exit code. Without `keep` nothing that was started stays alive."""
    return anyio.run(_run, settings.home, trials, keep)


async def _run(home: Path, trials: int, keep: bool) -> int:
    from ...tools.tracing.ids import uuid7

    began = time.monotonic()
    found = Findings(trials=trials)
    async with Client(server_parameters(home)) as client:
        session = Session(client, uuid7())
        try:
            with Board(len(STEPS)) as board:
                failed = await _steps(session, found, board)
        finally:
            if not keep and "endpoint" in found.handles:
                await session.call("stop_endpoint", endpoint="credit_risk")
    if failed:
        return 1
    summary(found, home, session, time.monotonic() - began, keep)
    return await reported(home, session.trace_id)


async def reported(home: Path, trace: str) -> int:
    """All of it as one file to open, which the command of this name writes and names."""
    out = home / "report.html"
    command = [sys.executable, "-m", "mlops_mcp.server", "--home", str(home), "report", f"trace:{trace}"]
    done = await anyio.run_process([*command, "--out", str(out)], check=False, stderr=None)
    if done.returncode == 0:
        print(f"report           {out}")
    return done.returncode


async def _steps(session: Session, found: Findings, board: Board) -> bool:
    for title, step in STEPS:
        session.progress = board.start(title)
        try:
            board.finish(title, await step(session, found))
        except ToolRefused as error:
            board.fail(title, str(error))
            return True
    return False
