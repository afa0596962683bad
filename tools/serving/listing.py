"""What runs at the endpoints, as their processes and the proxy in front of them show."""

from __future__ import annotations

from ..runtime.work import Work
from ..undo import call
from . import endpoints, processes
from .connection import is_ready
from .endpoint_tokens import known_token
from .models import Deployment, DeploymentLine, EndpointFile, EndpointLine, State
from .processes import master
from .proxy import handle


def line_of(work: Work, name: str) -> EndpointLine:
    state = endpoints.read(work, name)
    lines = [_deployment_line(work, name, each) for each in state.deployments]
    found = _state(lines)
    notes = [] if found in ("ready", "starting") else [f"Deploy it again: {redeploy(state)}"]
    return EndpointLine(
        endpoint=f"endpoint:{name}",
        state=found,
        url=handle.address(work, name),
        traffic=traffic(state),
        deployments=lines,
        notes=notes,
    )


def traffic(state: EndpointFile) -> dict[str, int]:
    return {each.bento: each.percent for each in state.deployments if each.ready}


def redeploy(state: EndpointFile) -> str:
    bento = max(state.deployments, key=lambda each: each.percent).bento
    return call("deploy_model", bento=bento, endpoint=f"endpoint:{state.endpoint}")


def _deployment_line(work: Work, name: str, deployment: Deployment) -> DeploymentLine:
    alive = master(work, name, deployment) is not None
    answers = deployment.ready and alive and is_ready(deployment.port, known_token(work.home, name))
    up: State = "ready" if answers else "starting"
    return DeploymentLine(
        bento=deployment.bento,
        state=up if alive else "dead",
        percent=deployment.percent,
        replicas=deployment.replicas,
        memory_mb=processes.memory_mb(work, name, deployment),
        started=deployment.started,
    )


def _state(lines: list[DeploymentLine]) -> State:
    serving: set[State] = {line.state for line in lines if line.percent}
    if not serving:
        return "starting" if any(line.state == "starting" for line in lines) else "dead"
    return next(iter(serving)) if len(serving) == 1 else "degraded"
