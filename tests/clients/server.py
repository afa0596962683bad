"""The server as it is, with a tool more that takes as long as it is told: `python -m tests.clients.server WAY`."""

from __future__ import annotations

import os
import sys

from mlops_mcp.config.load import load
from mlops_mcp.server.transports import serve
from mlops_mcp.tools.runtime.models import JobView
from mlops_mcp.tools.spec import Injected, Toolset, writes

from . import naps


async def take_a_nap(context: Injected, label: str, seconds: float) -> JobView[naps.Slept]:
    """Sleep for some seconds."""
    return await context.submit(
        naps.nap, naps.Nap(record=os.environ["CLIENTS_NAPS"], label=label, seconds=seconds), None
    )


TOOLSET = Toolset(
    name="naps",
    description="Long work that costs nothing.",
    tools=(writes(take_a_nap, "Take a nap", idempotent=True, job="long"),),
)

if __name__ == "__main__":
    serve(load(os.environ, {"server.port": 0, "runtime.job_slots": 4}).settings, sys.argv[1], TOOLSET)  # type: ignore[arg-type]
