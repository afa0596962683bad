"""What a deployment asks for: how much memory it may take, whether there is room for it, and what it runs beside."""

from __future__ import annotations

import re
from collections.abc import Sequence

import psutil

from ..errors import ToolFailure
from ..platforms import limits_memory
from .models import Deployment, DeployRequest
from .processes import Plan

# What an endpoint was measured to take: its master, and each replica.
MASTER_MB = 200
REPLICA_MB = 400
MOST_BYTES = 1 << 50
UNITS = {"": 0, "k": 10, "ki": 10, "m": 20, "mi": 20, "g": 30, "gi": 30}
SIZE = re.compile(r"(?P<number>\d+(\.\d+)?)\s*(?P<unit>[kmg]i?|)b?")


def size(text: str) -> int:
    """Bytes of 512Mi, 2G, 1.5 GiB; a bare number is bytes, nothing is 0.

    Raises:
        ToolFailure: no such size, or too small for any service.
    """
    if not text:
        return 0
    match = SIZE.fullmatch(text.strip().lower())
    if match is None:
        raise ToolFailure(f"{text!r} is no amount of memory", "Write e.g. 2Gi or 800Mi.")
    asked = float(match["number"]) * (1 << UNITS[match["unit"]])
    if asked > MOST_BYTES:
        raise ToolFailure(f"{text[:40]} is more memory than any machine has", "Write e.g. 2Gi or 800Mi.")
    count = int(asked)
    if count < REPLICA_MB << 20:
        raise ToolFailure(f"{text} is too little for a service", f"A replica takes about {REPLICA_MB}Mi.")
    return count


def require_beside(request: DeployRequest, bento: str, running: Sequence[Deployment]) -> None:
    """Refuse a share, a canary or a shadow where it would mean nothing, before anything is started."""
    if request.shadow and (request.canary or 0 < request.percent < 100):
        raise ToolFailure(
            "a shadow gets no calls, so it takes neither percent nor canary",
            "Pass shadow alone; set_traffic gives it calls later.",
        )
    asked = "shadow" if request.shadow else "canary" if request.canary else "percent"
    if asked == "percent" and request.percent == 100:
        return
    if not running:
        raise ToolFailure(
            "nothing serves there that it could run beside",
            f"Leave {asked} out: the first bento gets all calls.",
        )
    if bento in [each.bento for each in running]:
        raise ToolFailure(f"{bento} runs there already", "Use set_traffic to change its share.")


def require_room(plan: Plan) -> None:
    """Refuse what there is no memory for, before anything is started."""
    if plan.memory and not limits_memory():
        raise ToolFailure("this system does not limit the memory of an endpoint", "Leave resources.memory out.")
    needed = max((MASTER_MB + REPLICA_MB * plan.replicas) << 20, plan.memory * plan.replicas)
    free = psutil.virtual_memory().available
    if free < needed:
        raise ToolFailure(
            f"{free >> 20} MB of memory are free, and {plan.replicas} replica(s) need {needed >> 20} MB",
            "Stop another endpoint (list_endpoints shows their memory), or ask for less.",
        )


def is_served(plan: Plan, deployment: Deployment) -> bool:
    """Whether a deployment is what a plan would make, and gets all calls."""
    return (
        deployment.percent == 100
        and deployment.bento == plan.bento.handle
        and (deployment.replicas, deployment.threads, deployment.memory) == (plan.replicas, plan.threads, plan.memory)
        # It is read when a service starts.
        and deployment.log_sample == plan.log_sample
    )
