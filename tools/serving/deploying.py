"""A bento on its way to the calls of an endpoint, beside what serves there or in its place."""

from __future__ import annotations

import time
from collections.abc import Iterator

from ..data.answers import told_of
from ..errors import ToolFailure
from ..runtime.work import Work
from ..undo import call
from . import endpoints, processes, reverse
from .canary import Trial, failing
from .listing import traffic as traffic_of
from .models import Canary, Deployed, Deployment, DeployRequest, EndpointFile
from .planning import is_served, require_beside, require_room
from .processes import Plan, master
from .proxy import handle

# So long a dead deployment may take to be started again.
RESTART_S = 60.0
TOKEN_NOTE = (
    'other programs POST {{"rows": […]}} there as application/json with the header Authorization: Bearer <token>, '
    "which `mlops-mcp endpoint-token {name}` prints on that machine"
)


def deployed(work: Work, request: DeployRequest, plan: Plan, ports: Iterator[int]) -> Deployed:
    """Start it, let it prove itself if it shall, and give it its calls; what serves already is left alone."""
    name, percent = plan.endpoint, 0 if request.shadow else request.percent
    with endpoints.change(work, name, RESTART_S):
        running = settle(work, name)
        logging = told_of(name, request.log_sample)
        if len(running) == 1 and is_served(plan, running[0]) and master(work, name, running[0]):
            handle.ensure(work)
            return _nothing_changed(work, name, running[0], logging)
        require_beside(request, plan.bento.handle, running)
        require_room(plan)
        work.progress(1, 3, f"starting {plan.bento.handle}")
        began = time.perf_counter()
        with work.tracer.span("start service", bento=plan.bento.handle, replicas=plan.replicas):
            made = _started(work, plan, running, ports).model_copy(update={"shadow": request.shadow})
        took = time.perf_counter() - began
        if request.canary:
            prove(work, name, running, made, request.canary)
        work.progress(2, 3, "switching the calls over")
        traffic, stopped = _switch(work, name, running, made, percent)
    undo = reverse.of_deployment(name, running, made, percent)
    return _told(work, name, made, traffic, logging).model_copy(
        update={"ready_seconds": round(took, 2), "stopped": stopped, "undo": undo}
    )


def settle(work: Work, name: str) -> list[Deployment]:
    """What serves; unfinished deployments are ended. Orphans of a dead one go on until it is replaced."""
    state = endpoints.read(work, name) if endpoints.exists(work, name) else EndpointFile(endpoint=name)
    serving = [each for each in state.deployments if each.finished]
    if len(serving) < len(state.deployments):
        write_shares(work, name, serving, whole(serving) if serving else {})
        serving = endpoints.read(work, name).deployments if serving else []
    endpoints.note(work, name, *processes.sweep(work, name, {each.id for each in serving}))
    return serving


def whole(deployments: list[Deployment]) -> dict[str, int]:
    """Their shares, with what others leave."""
    return endpoints.share({each.id: each.percent for each in deployments}, "", 0)


def write_shares(work: Work, name: str, deployments: list[Deployment], percents: dict[str, int]) -> dict[str, int]:
    changed = [each.model_copy(update={"percent": percents[each.id]}) for each in deployments]
    state = endpoints.keep(work, name, changed)
    handle.reread(work)
    return traffic_of(state)


def without_newest(work: Work, name: str, running: list[Deployment]) -> Deployed:
    *others, newest = running
    traffic = write_shares(work, name, others, whole(others))
    handle.drained(work, newest.id)
    processes.stop(work, name, newest)
    most = max(others, key=lambda each: each.percent)
    undo = call("deploy_model", bento=newest.bento, endpoint=f"endpoint:{name}", percent=newest.percent)
    return _told(work, name, most, traffic, []).model_copy(update={"stopped": [newest.bento], "undo": undo})


def _started(work: Work, plan: Plan, running: list[Deployment], ports: Iterator[int]) -> Deployment:
    """Start it beside what runs; while it starts, the endpoint's file says so."""

    def note(starting: Deployment) -> None:
        endpoints.keep(work, plan.endpoint, [*running, starting])
        handle.ensure(work)

    try:
        return processes.start(work, plan, note, ports)
    except BaseException:
        endpoints.keep(work, plan.endpoint, running)
        raise


def prove(work: Work, name: str, running: list[Deployment], made: Deployment, canary: Canary) -> None:
    """Give it more and more of the calls.

    Raises:
        ToolFailure: it did not hold; what served before has all calls again.
    """
    trial = made.model_copy(update={"trial": True})
    before = {each.id: each.percent for each in running}

    def share(percent: int) -> None:
        write_shares(work, name, [*running, trial], endpoints.share(before, made.id, percent))

    look = Trial(
        lambda after: handle.figures(work, made.id, after), lambda: master(work, name, made) is not None, share
    )
    why = failing(canary, look, lambda percent: work.progress(2, 3, f"{made.bento} gets {percent} % of the calls"))
    if why:
        said = processes.log_tail(work, name, made.id) or "(nothing)"
        write_shares(work, name, running, before)
        handle.drained(work, made.id)
        processes.stop(work, name, made)
        endpoints.note(work, name, f"{made.bento} was rolled back {why}")
        raise ToolFailure(
            f"{made.bento} was rolled back {why}; what served before has all calls again", f"Its log ended with: {said}"
        )


def _switch(
    work: Work, name: str, running: list[Deployment], made: Deployment, percent: int
) -> tuple[dict[str, int], list[str]]:
    """Point the calls at the new deployment; at 100 % the old ones end, after their last answers."""
    if percent < 100:
        percents = endpoints.share({each.id: each.percent for each in running}, made.id, percent)
        return write_shares(work, name, [*running, made], percents), []
    endpoints.take_over(work, name, made.model_copy(update={"percent": 100}), running)
    handle.reread(work)
    for each in running:
        handle.drained(work, each.id)
        processes.stop(work, name, each)
    return {made.bento: 100}, [each.bento for each in running]


def _told(work: Work, name: str, serving: Deployment, traffic: dict[str, int], notes: list[str]) -> Deployed:
    return Deployed(
        endpoint=f"endpoint:{name}",
        bento=serving.bento,
        url=handle.address(work, name),
        replicas=serving.replicas,
        traffic=traffic,
        ready_seconds=0,
        memory_mb=processes.memory_mb(name, serving, processes.running(work)),
        memory_limit_mb=serving.limit_mb,
        notes=[TOKEN_NOTE.format(name=name), *notes],
        next=f"predict(endpoint={f'endpoint:{name}'!r}, rows=[{{feature: value}}])",
    )


def _nothing_changed(work: Work, name: str, serving: Deployment, notes: list[str]) -> Deployed:
    found = _told(work, name, serving, {serving.bento: 100}, [])
    return found.model_copy(update={"notes": [f"{serving.bento} serves there already: nothing was changed", *notes]})
