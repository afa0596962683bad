"""What runs at the endpoints, as their processes and the proxy in front of them show."""

from __future__ import annotations

from dataclasses import asdict

from ..logtail import tail_of
from ..runtime.work import Work
from ..tracing.redaction import redact
from ..undo import call
from . import endpoints, processes
from .connection import is_ready
from .endpoint_tokens import known_token
from .marks import Running
from .models import (
    Deployment,
    DeploymentLine,
    EndpointFile,
    EndpointLine,
    EndpointLogs,
    EndpointView,
    State,
    Version,
)
from .processes import master
from .proxy import handle

LOG_CHARACTERS = 4000


def line_of(work: Work, name: str, running: Running | None = None) -> EndpointLine:
    """Args: `running` are the processes of all endpoints, which who asks for several lines looks up once."""
    seen = processes.running(work) if running is None else running
    try:
        state = endpoints.read(work, name)
    except endpoints.Damaged as damaged:
        url, notes = handle.address(work, name), [str(damaged)]
        return EndpointLine(endpoint=f"endpoint:{name}", state="dead", url=url, traffic={}, deployments=[], notes=notes)
    lines = [_deployment_line(work, name, each, seen) for each in state.deployments]
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


def view_of(work: Work, text: str) -> EndpointView:
    state = endpoints.read(work, text)
    line = line_of(work, state.endpoint)
    running = " and ".join(each.bento for each in state.deployments if each.finished and each.percent)
    notes = (
        [] if handle.runs(work) else [f"the proxy before {running or 'it'} does not run; the next predict starts it"]
    )
    return EndpointView(
        endpoint=line.endpoint,
        state=line.state,
        url=line.url,
        versions=[_version(work, *each) for each in zip(state.deployments, line.deployments, strict=True)],
        events=state.events,
        rollback_to=going_back(state),
        notes=[*line.notes, *notes],
    )


def logs_of(work: Work, text: str) -> EndpointLogs:
    state = endpoints.read(work, text)
    most = LOG_CHARACTERS // max(1, len(state.deployments))
    return EndpointLogs(
        endpoint=f"endpoint:{state.endpoint}",
        logs={
            each.bento: redact(tail_of(endpoints.folder(work, state.endpoint, each.id) / processes.LOG_FILE, most))
            for each in state.deployments
        },
    )


def going_back(state: EndpointFile) -> str | None:
    """What would serve after a rollback: what the newest one shares with, or what it replaced."""
    others = [each for each in state.deployments if each.finished][:-1]
    if others:
        return max(others, key=lambda each: each.percent).bento
    return state.former.bento if state.former else None


def _version(work: Work, deployment: Deployment, line: DeploymentLine) -> Version:
    seen = handle.figures(work, deployment.id)
    return Version(
        **line.model_dump(),
        **asdict(seen),
        model=deployment.model,
        shadow=deployment.shadow,
        restarts=deployment.restarts,
        error_rate=round(seen.errors / seen.requests, 6) if seen.requests else None,
    )


def traffic(state: EndpointFile) -> dict[str, int]:
    return {each.bento: each.percent for each in state.deployments if each.ready}


def redeploy(state: EndpointFile) -> str:
    bento = max(state.deployments, key=lambda each: each.percent).bento
    return call("deploy_model", bento=bento, endpoint=f"endpoint:{state.endpoint}")


def _deployment_line(work: Work, name: str, deployment: Deployment, running: Running) -> DeploymentLine:
    alive = master(work, name, deployment) is not None
    answers = deployment.ready and alive and is_ready(deployment.port, known_token(work.home, name))
    up: State = "ready" if answers else "starting"
    return DeploymentLine(
        bento=deployment.bento,
        state=up if alive else "dead",
        percent=deployment.percent,
        replicas=deployment.replicas,
        memory_mb=processes.memory_mb(name, deployment, running),
        memory_limit_mb=deployment.limit_mb,
        started=deployment.started,
    )


def _state(lines: list[DeploymentLine]) -> State:
    serving: set[State] = {line.state for line in lines if line.percent}
    if not serving:
        return "starting" if any(line.state == "starting" for line in lines) else "dead"
    return next(iter(serving)) if len(serving) == 1 else "degraded"
