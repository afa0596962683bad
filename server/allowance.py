"""What a caller has of its limits, as a resource: what refuses the next one too many can be seen before."""

from __future__ import annotations

import json
from typing import Any

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ResourceError

from ..tools.addresses import LIMITS
from ..tools.errors import ToolFailure
from ..tools.runtime.identity import acting
from .access.gate import counted_as
from .services import Services

SAID = "What you have of your limits: requests within a minute, jobs, their seconds and the MB written within a day."


def add_limits(server: MCPServer[Any], services: Services) -> None:
    """Publish it for every caller; who has no token has none but that of requests, which counts by address."""

    async def mine() -> str:
        try:
            return json.dumps({"caller": acting().name or None, "limits": await used(services)})
        except ToolFailure as failure:
            raise ResourceError(str(failure)) from failure

    server.resource(LIMITS, name="limits", title="Limits", description=SAID, mime_type="application/json")(mine)


async def used(services: Services) -> dict[str, dict[str, float | None]]:
    """Setting -> how much of it whoever acts has used, and how much it may (null is any); nothing without a token."""
    if not (name := acting().name):
        return {}
    runtime, has = services.settings.runtime, await services.jobs.taken()
    counted: dict[str, tuple[float, float]] = {
        "server.caller_calls": (services.rates.used(counted_as(name)), services.settings.server.caller_calls),
        "runtime.caller_jobs": (has.jobs, runtime.caller_jobs),
        "runtime.caller_job_s": (round(has.seconds, 1), runtime.caller_job_s),
        "runtime.caller_disk_mb": (await services.written_mb(name), runtime.caller_disk_mb),
    }
    return {setting: {"used": amount, "allowed": most or None} for setting, (amount, most) in counted.items()}
