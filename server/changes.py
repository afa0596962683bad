"""Tells who listens which cards have changed: by a call of this server, or by a job of any server of its folder."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from typing import Any

from mcp.server.subscriptions import ResourceUpdated

from ..resources.changes import CHANGING, cards_of
from ..tools.runtime.jobs.queue import Jobs
from ..tools.runtime.jobs.table import JobRow
from ..tools.tracing.mentions import handles_in
from .subscriptions import Bus

# A row is written some time after its job has ended, by a server whose clock may be behind.
LATE_S = 10.0


class Changes:
    """What was written, and who is to know.

    Args:
        bus: to whom it is told.
    """

    def __init__(self, bus: Bus, jobs: Jobs) -> None:
        self._bus = bus
        self._jobs = jobs
        self._looked = time.time()
        self._told: frozenset[tuple[str, float]] = frozenset()

    async def made(self, toolset: str, arguments: Mapping[str, Any], result: Mapping[str, Any]) -> None:
        """A writing tool has answered. What it only looked at, as a preview does, has not changed."""
        if toolset in CHANGING and not (result.get("state") == "preview" or result.get("dry_run")):
            # An experiment is named by its id alone.
            made = [f"experiment:{identity}"] if (identity := result.get("experiment_id")) else []
            await self._tell((arguments, result, *made))

    async def look_at_jobs(self) -> None:
        """Tell what jobs have changed that ended since the last look, or were seen to have ended only now."""
        now = time.time()
        heard = self._bus.heard and self._jobs.in_use
        ended = await self._jobs.ended_since(self._looked - LATE_S) if heard else []
        before, self._told = self._told, frozenset((row.id, row.ended) for row in ended)
        self._looked = now
        for row in ended:
            if row.toolset in CHANGING and (row.id, row.ended) not in before:
                await self._tell(_written(row))

    async def _tell(self, texts: Iterable[Any]) -> None:
        if self._bus.heard:
            for uri in cards_of(handle for text in texts for handle in handles_in(text)):
                await self._bus.publish(ResourceUpdated(uri))


def _written(row: JobRow) -> list[Any]:
    return [json.loads(text) for text in (row.request, row.result, row.partial) if text]
